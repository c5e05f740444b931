"""A program that trains as people's do: data read from files, batches, a line of metrics a step, checkpoints.

With PyTorch if it is there, on one thread; else the same network in plain Python. Run by `bench.training`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
from typing import Any

_FILES, _FEATURES, _HIDDEN = 200, 16, 32


def samples() -> list[tuple[list[float], float]]:
    """One sample a file, made by the first run."""
    os.makedirs("data", exist_ok=True)
    found = []
    for number in range(_FILES):
        path = f"data/{number:04}.json"
        if not os.path.exists(path):
            drawn = random.Random(number)
            with open(path, "w") as file:
                json.dump([drawn.gauss(0, 1) for _ in range(_FEATURES)], file)
        with open(path) as file:
            features = json.load(file)
        found.append((features, float(sum(features) > 0)))
    return found


def train_plainly(data: list[tuple[list[float], float]], epochs: int, rate: float) -> None:
    first = [[random.gauss(0, 0.3) for _ in range(_FEATURES)] for _ in range(_HIDDEN)]
    second = [random.gauss(0, 0.3) for _ in range(_HIDDEN)]
    for epoch in range(epochs):
        random.shuffle(data)
        loss = 0.0
        for features, target in data:
            hidden = [max(sum(w * x for w, x in zip(row, features, strict=True)), 0.0) for row in first]
            error = sum(w * h for w, h in zip(second, hidden, strict=True)) - target
            loss += error * error
            for number, value in enumerate(hidden):
                if value:
                    slope = rate * error * second[number]
                    first[number] = [w - slope * x for w, x in zip(first[number], features, strict=True)]
                    second[number] -= rate * error * value
        print(f"epoch={epoch} loss={loss / len(data):.6f}", flush=True)
        with open("last.json", "w") as file:
            json.dump(second, file)


def train_with(torch: Any, data: list[tuple[list[float], float]], epochs: int, rate: float) -> None:
    torch.set_num_threads(1)
    inputs = torch.tensor([features for features, _ in data])
    targets = torch.tensor([[target] for _, target in data])
    linear = torch.nn.Linear
    layers = [linear(_FEATURES, 512), torch.nn.ReLU(), linear(512, 512), torch.nn.ReLU(), linear(512, 1)]
    network = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, targets), batch_size=20, shuffle=True, num_workers=0
    )
    step = 0
    for _ in range(epochs):
        for batch, wanted in loader:
            loss = ((network(batch) - wanted) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"step={step} loss={loss.item():.6f}", flush=True)
            step += 1
        torch.save(network.state_dict(), "last.pt")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.01)
    options = parser.parse_args()
    data = samples()
    if importlib.util.find_spec("torch"):
        train_with(importlib.import_module("torch"), data, options.epochs, options.lr)
    else:
        train_plainly(data, options.epochs, options.lr)


if __name__ == "__main__":
    main()
