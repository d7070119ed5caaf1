/**
 * The series of one metric as plain numbers: noting one is an addition, and whoever reads pays for what has changed since.
 * What stands before the numbers (names, labels, their escapes) is written by prom-client, once for each series. Bounds
 * what labels may become: beyond MAX_SERIES they count as `other`.
 */
import type { MetricKind } from './catalogue.ts';

/** Of one metric, each with all its buckets. */
export const MAX_SERIES = 500;
const OTHER = 'other';
/** What prom-client writes before the lines of a metric: its help and its type. */
const HEAD_LINES = 2;

type Labels = Readonly<Record<string, string>>;

/** What prom-client takes as a value. */
export interface Line {
  readonly metricName: string;
  readonly labels: Labels;
  readonly value: number;
}

/** One set of labels. */
interface Cell {
  readonly labels: Labels;
  /** In the order of the lines; of a histogram: how many each bucket and each before it has, the last of which is all, and their sum. */
  readonly numbers: number[];
  /** The lines without their numbers. */
  beginnings: readonly string[] | undefined;
  /** Of all lines, unless a number has changed since. */
  text: string | undefined;
}

/** Lines of one metric as prom-client writes them. */
export type Write = (name: string, kind: MetricKind, values: readonly Line[]) => Promise<string>;

export class Series {
  readonly #name: string;
  readonly #kind: MetricKind;
  readonly #bounds: readonly number[];
  readonly #cells = new Map<string, Cell>();
  #head: string | undefined;

  constructor(name: string, kind: MetricKind) {
    this.#name = name;
    this.#kind = kind;
    this.#bounds = [...(kind.buckets ?? []), Number.POSITIVE_INFINITY];
    if (kind.labels.length === 0) this.#cellOf({}); // told from the first moment
  }

  add(labels: Labels, by: number): void {
    const cell = this.#cellOf(labels);
    cell.numbers[0] = (cell.numbers[0] ?? 0) + by;
    cell.text = undefined;
  }

  set(labels: Labels, value: number): void {
    const cell = this.#cellOf(labels);
    if (cell.numbers[0] === value) return;
    cell.numbers[0] = value;
    cell.text = undefined;
  }

  observe(labels: Labels, value: number): void {
    const cell = this.#cellOf(labels);
    const { numbers } = cell;
    const count = this.#bounds.length;
    for (let at = count - 1; at >= 0 && value <= (this.#bounds[at] ?? 0); at--)
      numbers[at] = (numbers[at] ?? 0) + 1;
    numbers[count] = (numbers[count] ?? 0) + value;
    numbers[count + 1] = (numbers[count + 1] ?? 0) + 1;
    cell.text = undefined;
  }

  async text(write: Write): Promise<string> {
    const cells = [...this.#cells.values()];
    const fresh = cells.filter(({ beginnings }) => beginnings === undefined);
    if (fresh.length > 0 || this.#head === undefined) await this.#begin(fresh, write);
    return [this.#head, ...cells.map(textOf)].join('\n');
  }

  #cellOf(labels: Labels): Cell {
    const key = this.#keyOf(labels);
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    if (this.#cells.size < MAX_SERIES) return this.#added(key, labels);
    const others = Object.fromEntries(this.#kind.labels.map((label) => [label, OTHER]));
    const other = this.#keyOf(others);
    return this.#cells.get(other) ?? this.#added(other, others);
  }

  #keyOf(labels: Labels): string {
    const [first = '', ...more] = this.#kind.labels;
    let key = labels[first] ?? '';
    for (const label of more) key += `\n${labels[label]}`;
    return key;
  }

  #added(key: string, labels: Labels): Cell {
    const lines = this.#kind.kind === 'histogram' ? this.#bounds.length + 2 : 1;
    const numbers = Array<number>(lines).fill(0);
    const cell: Cell = { labels: { ...labels }, numbers, beginnings: undefined, text: undefined };
    this.#cells.set(key, cell);
    return cell;
  }

  async #begin(cells: readonly Cell[], write: Write): Promise<void> {
    const values = cells.flatMap((cell) => this.#linesOf(cell));
    const written = await write(this.#name, this.#kind, values);
    const lines = written.split('\n');
    this.#head = lines.slice(0, HEAD_LINES).join('\n');
    let at = HEAD_LINES;
    for (const cell of cells)
      cell.beginnings = cell.numbers.map(() => {
        const line = lines[at++] ?? '';
        return line.slice(0, line.lastIndexOf(' ') + 1);
      });
  }

  #linesOf({ labels }: Cell): readonly Line[] {
    const metricName = this.#name;
    if (this.#kind.kind !== 'histogram') return [{ metricName, labels, value: 0 }];
    const buckets = this.#bounds.map((bound) => {
      const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound);
      return { metricName: `${metricName}_bucket`, labels: { le, ...labels }, value: 0 };
    });
    const sum = { metricName: `${metricName}_sum`, labels, value: 0 };
    return [...buckets, sum, { metricName: `${metricName}_count`, labels, value: 0 }];
  }
}

function textOf(cell: Cell): string {
  const { numbers, beginnings = [] } = cell;
  cell.text ??= beginnings.map((beginning, at) => `${beginning}${numbers[at]}`).join('\n');
  return cell.text;
}
