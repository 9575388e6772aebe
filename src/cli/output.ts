/** What the command line says and where: results on stdout, everything else on stderr. */
import process from "node:process";
import type { WriteStream } from "node:tty";

/** Wraps text in a colour, or leaves it as it is. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

const same = (text: string): string => text;

export const plain: Paint = { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same };

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    `\u001b[${on}m${text}\u001b[${off}m`;

export const coloured: Paint = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  red: sgr(31, 39),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
  cyan: sgr(36, 39),
};

export interface OutputOptions {
  readonly json: boolean;
  /** Whether colours are allowed at all; they also need a terminal. */
  readonly colours: boolean;
}

export class Output {
  readonly json: boolean;
  /** For results and for messages: the two may go to different places. */
  readonly paint: Paint;
  readonly errorPaint: Paint;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.paint = options.colours && !options.json && process.stdout.isTTY ? coloured : plain;
    this.errorPaint = options.colours && process.stderr.isTTY ? coloured : plain;
  }

  get isTerminal(): boolean {
    return process.stdout.isTTY;
  }

  /** A result for people; one line feed is added. */
  async text(text: string): Promise<void> {
    await write(process.stdout, `${text}\n`);
  }

  /** A result for programs, on one line. */
  async value(value: unknown): Promise<void> {
    await write(process.stdout, `${JSON.stringify(value)}\n`);
  }

  /** The result, in the form that was asked for. */
  async result(value: unknown, forPeople: () => string): Promise<void> {
    await (this.json ? this.value(value) : this.text(forPeople()));
  }

  /** Something worth knowing that is not the result. */
  async message(text: string): Promise<void> {
    await write(process.stderr, `${text}\n`);
  }
}

/** Resolves when the runtime has taken the bytes: a process that exits before loses them where pipes are asynchronous. */
function write(stream: WriteStream | NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve) => {
    stream.write(text, () => resolve());
  });
}
