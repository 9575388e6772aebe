/** Reads from a schema which keys it knows at a place: zod says what is wrong, not what would have been right. */
import type { $ZodType, $ZodTypes } from "zod/v4/core";
import type { PathStep } from "./problems.ts";

function unwrapped(schema: $ZodType): $ZodTypes {
  let inner = schema as $ZodTypes;
  // Eight is deeper than any wrapper chain of ours.
  for (let depth = 0; depth < 8; depth++) {
    const def = inner._zod.def;
    if (def.type === "optional" || def.type === "nullable" || def.type === "default")
      inner = def.innerType as $ZodTypes;
    else if (def.type === "pipe") inner = def.in as $ZodTypes;
    else break;
  }
  return inner;
}

/** The option of a union that `value` says it is, by the literal field they share. */
function chosen(options: readonly $ZodType[], value: unknown): $ZodType | null {
  for (const option of options) {
    const def = unwrapped(option)._zod.def;
    if (def.type !== "object" || typeof value !== "object" || value === null) continue;
    for (const [key, field] of Object.entries(def.shape)) {
      const fieldDef = unwrapped(field)._zod.def;
      if (fieldDef.type === "literal" && fieldDef.values.includes((value as Record<string, string>)[key] ?? null))
        return option;
    }
  }
  return null;
}

/** Keys that an object at `path` of `root` may have; empty if there is no object in the schema. */
export function knownKeys(root: $ZodType, path: readonly PathStep[], document: unknown): readonly string[] {
  let schema: $ZodType | null = root;
  let value = document;
  for (const step of [...path, null]) {
    let inner: $ZodTypes = unwrapped(schema);
    if (inner._zod.def.type === "union") {
      schema = chosen(inner._zod.def.options, value);
      if (schema === null) return [];
      inner = unwrapped(schema);
    }
    const def = inner._zod.def;
    if (step === null) return def.type === "object" ? Object.keys(def.shape) : [];
    value = typeof value === "object" && value !== null ? (value as Record<PathStep, unknown>)[step] : undefined;
    if (def.type === "array") schema = def.element;
    else if (def.type === "object") schema = def.shape[step] ?? null;
    else schema = null;
    if (schema === null) return [];
  }
  return [];
}
