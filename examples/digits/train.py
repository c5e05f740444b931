"""Train a small network on scikit-learn's handwritten digits and print how well it reads them."""

import argparse
import json
import pickle
import random

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--lr", type=float, default=0.01, help="learning rate")
parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

random.seed(options.seed)
np.random.seed(options.seed)

images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.3, random_state=options.seed)
scaler = StandardScaler().fit(train_x)
train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)

model = MLPClassifier(
    hidden_layer_sizes=(options.hidden,),
    learning_rate_init=options.lr,
    batch_size=options.batch_size,
    random_state=options.seed,
)
classes = np.unique(labels)
for epoch in range(1, options.epochs + 1):
    order = np.random.permutation(len(train_y))
    model.partial_fit(train_x[order], train_y[order], classes=classes)
    loss = log_loss(train_y, model.predict_proba(train_x), labels=classes)
    val_accuracy = accuracy_score(test_y, model.predict(test_x))
    print(f"epoch={epoch} loss={loss:.6f} val_accuracy={val_accuracy:.6f}", flush=True)

accuracy = accuracy_score(test_y, model.predict(test_x))
with open("metrics.json", "w", encoding="utf-8") as file:
    json.dump({"accuracy": accuracy, "loss": loss}, file)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
print(f"accuracy: {accuracy:.6f}")
