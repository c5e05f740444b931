# Read by the demonstrations: makes a small repository anew in the folder that is their argument, and goes there.
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: $(basename "$0") FOLDER}

rm -rf "$folder"
mkdir -p "$folder"
cp "$here"/digits/train.py "$here"/digits/replicate.toml "$here"/digits/requirements.txt "$folder"
cp "$here"/digits/gitignore "$folder"/.gitignore
cd "$folder"
git init -q .
git add .
git -c user.name='Demo' -c user.email='demo@example.org' commit -q -m 'digits'

# Show a command as it is typed, and what it says.
step() {
    printf '\n$ %s\n' "$1"
    eval "$1"
}
