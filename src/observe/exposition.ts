/**
 * The Prometheus text format, version 0.0.4, written.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */

export const expositionType = "text/plain; version=0.0.4; charset=utf-8";

/** `a="x",b="y"`, escaped; "" without labels. A value left out is the empty string, which means "no such label". */
export function labelText(names: readonly string[], values: readonly string[]): string {
  let text = "";
  for (let i = 0; i < names.length; i++) text += `${i === 0 ? "" : ","}${names[i]!}="${escapeLabel(values[i] ?? "")}"`;
  return text;
}

export function helpLine(name: string, help: string, type: string): string {
  return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
}

/** `labels` as `labelText` makes them. */
export function sampleLine(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${numberText(value)}\n` : `${name}{${labels}} ${numberText(value)}\n`;
}

function numberText(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}

function escapeLabel(value: string): string {
  // A NUL or a lone surrogate is legal in a JavaScript string and not in UTF-8 text; scrapers would drop the whole page.
  return value
    .toWellFormed()
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll('"', '\\"')
    .replaceAll("\0", "");
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
