/**
 * The progress of a pull from the lines the engine sends. It answers 200 before it has asked the
 * registry, so a refusal comes as a line, too. Pure.
 */
import type { PullProgress } from './engine.ts';

interface Layer {
  done: boolean;
  bytes: number;
  totalBytes: number;
}

const LAYER_STATES =
  /^(Pulling fs layer|Waiting|Downloading|Verifying Checksum|Download complete|Extracting|Pull complete|Already exists|Retrying)/;
const DONE_STATES = new Set(['Pull complete', 'Already exists']);

export class PullLedger {
  readonly #layers = new Map<string, Layer>();
  #error: string | undefined;

  /** The registry's words, once it has refused. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Lines that are not JSON or mean nothing are skipped. */
  add(line: string): void {
    const message = parse(line);
    const words = message.error;
    if (typeof words === 'string') this.#error = words;
    const { id, status } = message;
    if (typeof id !== 'string' || typeof status !== 'string' || !LAYER_STATES.test(status)) return;
    const layer = this.#layers.get(id) ?? { done: false, bytes: 0, totalBytes: 0 };
    this.#layers.set(id, layer);
    layer.done ||= DONE_STATES.has(status);
    if (status === 'Downloading') Object.assign(layer, amounts(message.progressDetail, layer));
    if (status === 'Download complete' || layer.done) layer.bytes = layer.totalBytes;
  }

  progress(): PullProgress {
    const layers = [...this.#layers.values()];
    return {
      layers: layers.length,
      done: layers.filter((l) => l.done).length,
      bytes: layers.reduce((sum, l) => sum + l.bytes, 0),
      totalBytes: layers.reduce((sum, l) => sum + l.totalBytes, 0),
    };
  }
}

function amounts(detail: unknown, layer: Layer): Partial<Layer> {
  const { current, total } = (detail ?? {}) as { current?: unknown; total?: unknown };
  return {
    bytes: typeof current === 'number' ? current : layer.bytes,
    totalBytes: typeof total === 'number' ? total : layer.totalBytes,
  };
}

function parse(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
