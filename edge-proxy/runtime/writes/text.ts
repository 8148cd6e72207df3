/** Latin-1 text as bytes, the way each runtime does it at least cost. */
import { Buffer } from 'node:buffer';

/** What `Buffer` has on every runtime, and its types leave out: `write` without reading its arguments first. */
interface Latin1Buffer {
  latin1Write(text: string, at: number, length: number): number;
}

/** Writes text whose characters are all below U+0100 to the begin of memory that has room for it. */
export type WriteText = (memory: Buffer, text: string) => void;

function writeNatively(memory: Buffer, text: string): void {
  (memory as unknown as Latin1Buffer).latin1Write(text, 0, text.length);
}

const encoder = new TextEncoder();

/** Deno's `Buffer` goes from character to character; heads are ASCII but for a few, where UTF-8 is longer. */
function writeAsUtf8(memory: Buffer, text: string): void {
  const { read, written } = encoder.encodeInto(text, memory);
  if (read !== text.length || written !== text.length) writeNatively(memory, text);
}

export const writeText: WriteText = 'Deno' in globalThis ? writeAsUtf8 : writeNatively;

/** `text` followed by `bytes`, in memory of its own. */
export function joinText(text: string, bytes: Uint8Array | undefined): Buffer {
  const whole = Buffer.allocUnsafe(text.length + (bytes?.length ?? 0));
  writeText(whole, text);
  if (bytes) whole.set(bytes, text.length);
  return whole;
}
