#!/usr/bin/env bash
# Builds what the end-to-end tests run against (kube-apiserver, etcd, kubectl, kube-controller-manager, helm,
# tekton-controller) once, into the user's cache folder.
# Stdout is one line, the folder with the programs; everything else goes to stderr. See README.md beside this file.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# Part of the cache key: raise it when the flags below change, so that old binaries are not taken for new ones.
recipe=1

say() { printf 'envtest: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 2
}

# version_of MODULE FILE: the version a go.mod requires of a module.
version_of() {
  awk -v module="$1" '$1 == module && $2 ~ /^v/ { print $2; found = 1; exit }
    $1 == "require" && $2 == module { print $3; found = 1; exit }
    END { exit !found }' "$2" || fail "$2 does not require $1"
}

hash_of() {
  { echo "recipe $recipe"; cat -- "$@"; } |
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-12
}

# go_build FOLDER OUT LDFLAGS PACKAGE: builds one tool of the module in FOLDER.
go_build() {
  local log
  log="$(dirname -- "$2")/build.log"
  # A go.work further up must not change what is built; without cgo no C compiler is needed. 9 is the lock: not go's.
  if ! (cd -- "$here/$1" && GOWORK=off CGO_ENABLED=0 \
    go build -mod=readonly -trimpath -buildvcs=false -ldflags "-s -w $3" -o "$2" "$4") >"$log" 2>&1 9>&-; then
    tail -n 20 -- "$log" >&2
    fail "building $4 failed, the lines above say why"
  fi
}

build_helm() {
  say "building helm $helm_version (about 2 minutes)"
  go_build helm "$1/helm" "-X helm.sh/helm/v4/internal/version.version=$helm_version" helm.sh/helm/v4/cmd/helm
}

build_tekton() {
  say "building tekton-controller $tekton_version (about 3 minutes)"
  go_build tekton "$1/tekton-controller" "" github.com/tektoncd/pipeline/cmd/controller
}

# stamp: without it a program of Kubernetes' calls itself v0.0.0-master, and a chart's kubeVersion refuses such a server.
stamp() {
  local package=k8s.io/component-base/version client=k8s.io/client-go/pkg/version major minor stamp
  IFS=. read -r major minor _ <<<"${kube_version#v}"
  stamp="-X $package.gitVersion=$kube_version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  stamp+=" -X $client.gitVersion=$kube_version -X $client.gitMajor=$major -X $client.gitMinor=$minor"
  printf '%s' "$stamp"
}

build_controllers() {
  say "building kube-controller-manager $kube_version (about 2 minutes)"
  go_build "$kube_folder" "$1/kube-controller-manager" "$(stamp)" k8s.io/kubernetes/cmd/kube-controller-manager
}

build_kube() {
  local stamp
  stamp=$(stamp)
  say "building kube-apiserver $kube_version (downloads 1.5 GB at first; about 4 minutes on two cores)"
  go_build "$kube_folder" "$1/kube-apiserver" "$stamp" k8s.io/kubernetes/cmd/kube-apiserver
  say "building kubectl $kube_version (under a minute)"
  go_build "$kube_folder" "$1/kubectl" "$stamp" k8s.io/kubernetes/cmd/kubectl
  say "building etcd $etcd_version (a few seconds)"
  go_build "$kube_folder" "$1/etcd" "" go.etcd.io/etcd/server/v3
}

need_go() {
  command -v go >/dev/null ||
    fail "Go is not installed; it builds $1 (https://go.dev/dl, or set KUBEBUILDER_ASSETS to a folder that has them)"
}

# into FOLDER FILL: makes FOLDER by FILL-ing one beside it and renaming, so that what was interrupted never looks finished.
into() {
  local folder=$1 fill=$2
  [[ -d $folder ]] && return
  mkdir -p -- "$(dirname -- "$folder")"
  # The lock only saves work done twice; without flock (macOS) the rename alone keeps the folder whole.
  if command -v flock >/dev/null; then
    exec 9>"$folder.lock"
    if ! flock -n 9; then
      say "another build is under way, waiting for it"
      flock 9
    fi
    rm -rf -- "$folder".building.*
  fi
  if [[ ! -d $folder ]]; then
    building="$folder.building.$$"
    trap 'rm -rf -- "$building"' EXIT
    mkdir -p -- "$building"
    "$fill" "$building"
    rm -f -- "$building/build.log"
    mv -- "$building" "$folder"
  fi
}

# module NAME WHAT FILL FILE...: the programs of one Go module, in a folder of their own that its files name, so
# that a change of one module builds no other. The folder is then in $made.
module() {
  local name=$1 what=$2 fill=$3
  shift 3
  made="$cache/$name-$platform-$(hash_of "$@")"
  [[ -d $made ]] || need_go "$what"
  into "$made" "$fill"
}

kube_versions() {
  local folder="kube-${ENVTEST_K8S:-1.36}" there
  if [[ ! -f $here/$folder/go.mod ]]; then
    there=$(cd -- "$here" && for folder in kube-*/; do printf '%s ' "$(basename -- "${folder#kube-}")"; done)
    fail "no Kubernetes ${ENVTEST_K8S} here; ENVTEST_K8S can be: ${there% }"
  fi
  kube_folder=$folder
  kube_version=$(version_of k8s.io/kubernetes "$here/$folder/go.mod")
  etcd_version=$(version_of go.etcd.io/etcd/server/v3 "$here/$folder/go.mod")
}

kube_programs() {
  module "kube-$kube_version-etcd-$etcd_version" "kube-apiserver, etcd, kubectl and the rest of the bench" build_kube \
    "$here/$kube_folder"/go.{mod,sum}
  programs+=("$made"/{kube-apiserver,etcd,kubectl})
}

controllers_program() {
  module "kube-controllers-$kube_version" kube-controller-manager build_controllers "$here/$kube_folder"/go.{mod,sum}
  programs+=("$made/kube-controller-manager")
}

helm_program() {
  helm_version=$(version_of helm.sh/helm/v4 "$here/helm/go.mod")
  module "helm-$helm_version" helm build_helm "$here"/helm/go.{mod,sum}
  programs+=("$made/helm")
}

tekton_program() {
  tekton_version=$(version_of github.com/tektoncd/pipeline "$here/tekton/go.mod")
  module "tekton-$tekton_version" tekton-controller build_tekton "$here"/tekton/go.{mod,sum}
  programs+=("$made/tekton-controller")
}

# That folder is not ours to write to: what it lacks is built elsewhere.
programs_of_assets() {
  local program path
  for program in kube-apiserver etcd kubectl; do
    [[ -x $assets/$program ]] || fail "KUBEBUILDER_ASSETS is set to $assets, which has no $program"
    programs+=("$assets/$program")
  done
  if [[ -x $assets/helm ]]; then
    programs+=("$assets/helm")
  elif path=$(command -v helm); then
    programs+=("$path")
  else
    helm_program
  fi
  if [[ -x $assets/tekton-controller ]]; then
    programs+=("$assets/tekton-controller")
  else
    tekton_program
  fi
  if [[ -x $assets/kube-controller-manager ]]; then
    programs+=("$assets/kube-controller-manager")
  else
    kube_versions
    controllers_program
  fi
}

link_programs() {
  ln -s -- "${programs[@]}" "$1/"
}

cache="${XDG_CACHE_HOME:-$HOME/.cache}/lockkeeper/envtest"
platform="$(uname -s)-$(uname -m)"
programs=()

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  # Links need it absolute.
  assets=$(cd -- "$KUBEBUILDER_ASSETS" 2>/dev/null && pwd) ||
    fail "KUBEBUILDER_ASSETS is set to $KUBEBUILDER_ASSETS, which is no folder"
  programs_of_assets
  if [[ -x $assets/helm && -x $assets/tekton-controller && -x $assets/kube-controller-manager ]]; then
    printf '%s\n' "$assets"
    exit 0
  fi
else
  kube_versions
  kube_programs
  controllers_program
  helm_program
  tekton_program
fi

# One folder for all of them, named after what it links to.
bench="$cache/bench-$(printf '%s\n' "${programs[@]}" | hash_of -)"
if [[ ! -d $bench ]]; then
  into "$bench" link_programs
  say "done: $bench"
fi
printf '%s\n' "$bench"
