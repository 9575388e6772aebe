/** What can be wrong with a document. Codes are stable: scripts and editors match on them. */

export type Severity = "error" | "warning";

const table = {
  FM0001: { severity: "error", title: "Not YAML or JSON" },
  FM0002: { severity: "error", title: "Key written twice" },
  FM0003: { severity: "error", title: "Too large" },
  FM0004: { severity: "error", title: "Nested or aliased too deeply" },
  FM0005: { severity: "error", title: "Not a resource" },
  FM0101: { severity: "error", title: "Unknown field" },
  FM0102: { severity: "error", title: "Missing field" },
  FM0103: { severity: "error", title: "Wrong type" },
  FM0104: { severity: "error", title: "Value not allowed" },
  FM0105: { severity: "error", title: "Unknown kind or apiVersion" },
  FM0106: { severity: "error", title: "Not supported yet" },
  FM0107: { severity: "error", title: "Out of range" },
  FM0108: { severity: "error", title: "Malformed value" },
  FM0201: { severity: "error", title: "Document written twice" },
  FM0202: { severity: "error", title: "Route to an unknown service" },
  FM0203: { severity: "error", title: "Parent is an unknown service" },
  FM0204: { severity: "error", title: "Weights sum to 0" },
  FM0205: { severity: "error", title: "Limits contradict each other" },
  FM0206: { severity: "error", title: "Parent named twice" },
  FM0207: { severity: "error", title: "Two policies for one service" },
  FM0208: { severity: "error", title: "Port is not one of the service's" },
  FM0209: { severity: "error", title: "Too many documents" },
  FM0301: { severity: "warning", title: "Has no effect here" },
  FM0302: { severity: "warning", title: "Rule answers 500" },
  FM0303: { severity: "warning", title: "Target is an unknown service" },
  FM0304: { severity: "warning", title: "Policy without rules" },
  FM0305: { severity: "warning", title: "Endpoint in the clear beside proven ones" },
} as const satisfies Record<string, { severity: Severity; title: string }>;

export type ProblemCode = keyof typeof table;

/** Title and severity of every code: the list in the documentation is made from this. */
export const problemTable: Readonly<Record<ProblemCode, { readonly severity: Severity; readonly title: string }>> =
  table;

/** Something wrong, and where. */
export interface Problem {
  readonly code: ProblemCode;
  readonly severity: Severity;
  /** As named by the caller; "published" for a document that is in the mesh already. */
  readonly file: string;
  /** 1-based; 0 where there is no text to point at. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** What to write instead; `null` where only the author can know. */
  readonly suggestion: string | null;
}

/** A key or an index on the way to a value. */
export type PathStep = string | number;

/** A problem of one document before it has a place in a file. */
export interface Issue {
  readonly code: ProblemCode;
  readonly path: readonly PathStep[];
  /** Point at the key instead of its value. */
  readonly atKey?: boolean;
  readonly message: string;
  readonly suggestion: string | null;
}

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A place for a value (or key) of the document; that of the nearest thing written if the path itself is absent. */
export type Locate = (path: readonly PathStep[], atKey?: boolean) => Place;

/** An issue of a document, at its place. */
export function placed(issue: Issue, locate: Locate): Problem {
  const { code, path, message, suggestion } = issue;
  return { code, severity: problemTable[code].severity, ...locate(path, issue.atKey), message, suggestion };
}

/** `spec.rules[0].name`. */
export function pathText(path: readonly PathStep[]): string {
  let text = "";
  for (const step of path) text += typeof step === "number" ? `[${step}]` : text === "" ? step : `.${step}`;
  return text;
}

/** One line for a terminal or a nack: `mesh.yaml:12:5 FM0101 …`. */
export function problemText(problem: Problem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  return `${place} ${problem.code} ${problem.message}${problem.suggestion === null ? "" : ` (${problem.suggestion})`}`;
}

export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === "error");
}
