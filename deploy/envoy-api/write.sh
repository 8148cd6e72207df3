#!/usr/bin/env bash
# Writes control/envoy-api/descriptors.ts: what Envoy's v3 API consists of, from its Go module. Needs Go. Run it when Envoy's version changes.
set -eu
version=v1.40.0
target=$(cd "$(dirname "$0")/../.." && pwd)/control/envoy-api/descriptors.ts
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
go mod init descriptors 2>/dev/null
go get "github.com/envoyproxy/go-control-plane/envoy@$version" 2>/dev/null
source=$(go list -m -f '{{.Dir}}' github.com/envoyproxy/go-control-plane/envoy)
{
  printf 'package main\n\nimport (\n'
  (cd "$source" && find . -name '*.pb.go' -printf '%h\n') | sort -u | sed 's#^\./##' | grep -E '/v3(alpha)?$' |
    sed 's#.*#\t_ "github.com/envoyproxy/go-control-plane/envoy/&"#'
  cat <<'GO'
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Writes every registered file, after those that it imports, in the order of their paths.
func main() {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	byPath := map[string]protoreflect.FileDescriptor{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		byPath[file.Path()] = file
		return true
	})
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		add(byPath[path])
	}
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(bytes)
}
GO
} | sed 's#^\t"os"#\t"maps"\n\t"os"\n\t"slices"#' >main.go
go mod tidy 2>/dev/null
go run . >set
{
  echo "/** Descriptors of Envoy's v3 API (go-control-plane $version), a FileDescriptorSet: brotli, base64. Written by deploy/envoy-api/write.sh. */"
  printf "export const ENVOY_API =\n  '"
  node -e 'process.stdout.write(require("zlib").brotliCompressSync(require("fs").readFileSync("set")).toString("base64"))'
  printf "';\n"
} >"$target"
