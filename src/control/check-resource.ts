/** Checks one document against its kind's schema, and says every problem in words. */
import * as z from "zod/mini";
import { pathText, type Issue, type PathStep } from "./problems.ts";
import { authorizationPolicySchema } from "./resource-authorization.ts";
import { backendPolicySchema } from "./resource-backend-policy.ts";
import { httpRouteSchema } from "./resource-http-route.ts";
import { isLaterField, isLaterKind, isLaterValue } from "./resource-later.ts";
import { serviceSchema } from "./resource-service.ts";
import type { Resource, ResourceKind } from "./resources.ts";
import { knownKeys } from "./schema-keys.ts";
import { closest } from "./suggest.ts";

const schemas = {
  Service: serviceSchema,
  HTTPRoute: httpRouteSchema,
  BackendPolicy: backendPolicySchema,
  AuthorizationPolicy: authorizationPolicySchema,
} as const satisfies Record<ResourceKind, z.ZodMiniType<Resource>>;

/** Every kind there is, as written in `kind:`. */
export const resourceKinds: readonly ResourceKind[] = Object.keys(schemas) as ResourceKind[];

export type CheckedResource = { readonly resource: Resource } | { readonly issues: readonly Issue[] };

/** `value` is plain data (from YAML or JSON). Never throws on any of it. */
export function checkResource(value: unknown): CheckedResource {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse("FM0005", [], "a document must be a mapping with apiVersion, kind, metadata and spec", null);
  }
  const kind = (value as { kind?: unknown }).kind;
  if (kind === undefined) return refuse("FM0102", [], "kind is missing", `kind: one of ${resourceKinds.join(", ")}`);
  if (typeof kind !== "string") return refuse("FM0103", ["kind"], "kind must be a string", null);
  if (!Object.hasOwn(schemas, kind)) {
    if (isLaterKind(kind))
      return refuse("FM0106", ["kind"], `${kind} is not supported yet`, `supported kinds: ${resourceKinds.join(", ")}`);
    const near = closest(kind, resourceKinds);
    return refuse(
      "FM0105",
      ["kind"],
      `unknown kind "${clip(kind)}"`,
      near === null ? `one of ${resourceKinds.join(", ")}` : `did you mean ${near}?`,
    );
  }
  const schema = schemas[kind as ResourceKind];
  const result = z.safeParse(schema, value);
  if (result.success) return { resource: result.data };
  return { issues: withoutEchoes(result.error.issues.flatMap((issue) => translate(issue, kind, schema, value))) };
}

function refuse(
  code: Issue["code"],
  path: readonly PathStep[],
  message: string,
  suggestion: string | null,
): CheckedResource {
  return { issues: [{ code, path, message, suggestion }] };
}

function translate(issue: z.core.$ZodIssue, kind: string, schema: z.ZodMiniType, document: unknown): Issue[] {
  const path = issue.path.filter((step): step is PathStep => typeof step !== "symbol");
  const place = pathText(path) || "the document";
  const value = valueAt(document, path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(key, kind, path, schema, document));
    case "invalid_value":
      return [notAmong(issue.values.map(String), kind, path, value)];
    case "invalid_union":
      if (issue.discriminator !== undefined && value !== undefined)
        return [notAmong(unionOptions(issue), kind, path, value)];
      return [
        value === undefined
          ? missing(path, place)
          : { code: "FM0103", path, message: `${place} has none of the allowed forms`, suggestion: null },
      ];
    case "invalid_type":
      if (value === undefined) return [missing(path, place)];
      return [
        {
          code: "FM0103",
          path,
          message: `${place} must be ${article(issue.expected)}, not ${typeName(value)}`,
          suggestion: null,
        },
      ];
    case "too_small":
    case "too_big":
      return [outOfRange(issue, path, place)];
    case "custom":
      return [
        {
          code: "FM0108",
          path,
          message: `${place} is "${clip(String(value))}"`,
          suggestion: `must be ${issue.message}`,
        },
      ];
    default:
      return [{ code: "FM0108", path, message: `${place} is not acceptable (${issue.code})`, suggestion: null }];
  }
}

function unknownKey(
  key: string,
  kind: string,
  path: readonly PathStep[],
  schema: z.ZodMiniType,
  document: unknown,
): Issue {
  const at = [...path, key];
  if (isLaterField(kind, path, key)) {
    return {
      code: "FM0106",
      path: at,
      atKey: true,
      message: `${pathText(at)} is not supported yet`,
      suggestion: "remove it: the mesh would not do what it says",
    };
  }
  const known = knownKeys(schema, path, document);
  const near = closest(key, known);
  const suggestion =
    near !== null ? `did you mean ${near}?` : known.length > 0 ? `known here: ${known.join(", ")}` : null;
  return {
    code: "FM0101",
    path: at,
    atKey: true,
    message: `unknown field ${pathText([...path, clip(key)])}`,
    suggestion,
  };
}

function notAmong(options: readonly string[], kind: string, path: readonly PathStep[], value: unknown): Issue {
  const place = pathText(path);
  if (value === undefined) return missing(path, place, `one of ${options.join(", ")}`);
  if (isLaterValue(kind, path, value)) {
    return {
      code: "FM0106",
      path,
      message: `${place} ${String(value)} is not supported yet`,
      suggestion: `supported: ${options.join(", ")}`,
    };
  }
  const near = typeof value === "string" ? closest(value, options) : null;
  const code = place === "apiVersion" ? "FM0105" : "FM0104";
  const shown = options.map((option) => (option === "" ? '""' : option));
  const choice = shown.length === 1 ? `write ${shown[0]!}` : `one of ${shown.join(", ")}`;
  return {
    code,
    path,
    message: `${place} is ${typeof value === "string" ? `"${clip(value)}"` : typeName(value)}`,
    suggestion: near ? `did you mean ${near}?` : choice,
  };
}

function missing(path: readonly PathStep[], place: string, suggestion: string | null = null): Issue {
  return { code: "FM0102", path, message: `${place} is missing`, suggestion };
}

function outOfRange(
  issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig,
  path: readonly PathStep[],
  place: string,
): Issue {
  const small = issue.code === "too_small";
  const bound = `${small ? "at least" : "at most"} ${Number(small ? issue.minimum : issue.maximum)}`;
  const what =
    issue.origin === "array" ? `${bound} entries` : issue.origin === "string" ? `${bound} characters` : bound;
  return {
    code: "FM0107",
    path,
    message: `${place} must ${issue.origin === "array" || issue.origin === "string" ? "have" : "be"} ${what}`,
    suggestion: null,
  };
}

/** A misspelt required key is one mistake: the complaint that the right one is missing only repeats it. */
function withoutEchoes(issues: readonly Issue[]): Issue[] {
  const guessed = new Set<string>();
  for (const { code, path, suggestion } of issues) {
    const guess = suggestion?.match(/^did you mean (.+)\?$/)?.[1];
    if (code === "FM0101" && guess !== undefined) guessed.add(pathText([...path.slice(0, -1), guess]));
  }
  return issues.filter(({ code, path }) => code !== "FM0102" || !guessed.has(pathText(path)));
}

function unionOptions(issue: z.core.$ZodIssueInvalidUnion): readonly string[] {
  const options = (issue as { options?: unknown }).options;
  return Array.isArray(options) ? options.map(String) : [];
}

function valueAt(document: unknown, path: readonly PathStep[]): unknown {
  let value = document;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PathStep, unknown>)[step];
  }
  return value;
}

const typeName = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "a list"
      : article(typeof value === "object" ? "mapping" : typeof value);

function article(type: string): string {
  if (type === "array") return "a list";
  if (type === "object" || type === "record") return "a mapping";
  return type === "int" ? "a whole number" : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

const clip = (text: string): string => (text.length > 80 ? `${text.slice(0, 77)}...` : text);
