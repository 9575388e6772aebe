# Sourced by the other scripts, from the root of the repository: where the runtimes are. Empty where there is none.
# .cache/bin holds what scripts/setup has proved to start; the others serve machines with a single runtime.

find_runtime() {
  local name=$1 folder
  for folder in .cache/bin node_modules/.bin; do
    if [ -x "$folder/$name" ]; then echo "$PWD/$folder/$name"; return; fi
  done
  command -v "$name" || true
}

# Node loads TypeScript since 22.18; `bun run` puts a "node" into PATH that is Bun.
loads_typescript() {
  [ -n "$1" ] && "$1" -e 'process.exit(process.features.typescript ? 0 : 1)' >/dev/null 2>&1
}

BUN=$(find_runtime bun)
DENO=$(find_runtime deno)
NODE26=$(find_runtime node)
loads_typescript "$NODE26" || NODE26=""
WORKERD=$(find_runtime workerd)
FETCHMESH_REDIS_SERVER=${FETCHMESH_REDIS_SERVER:-$(command -v redis-server || true)}
export BUN DENO NODE26 WORKERD FETCHMESH_REDIS_SERVER

# Runs a TypeScript file of scripts/ on whichever runtime there is; Node first, as it is what the checks were made with.
run_script() {
  if [ -n "$NODE26" ]; then "$NODE26" "$@"
  elif [ -n "$BUN" ]; then "$BUN" "$@"
  else "$DENO" run -A --no-check "$@"
  fi
}
