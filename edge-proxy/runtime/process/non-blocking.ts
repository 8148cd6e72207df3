/**
 * Deno takes O_NONBLOCK off a descriptor that it gives to a child process, and with it off the socket on which this process
 * still accepts: an accept without a connection would stop its event loop. Node and Bun leave it.
 */
import process from 'node:process';

/** fcntl(2), on Linux. */
const [F_GETFL, F_SETFL, O_NONBLOCK] = [3, 4, 0o4000];

interface Libc {
  readonly symbols: { fcntl(descriptor: number, command: number, argument: number): number };
}
type Open = (library: string, functions: Readonly<Record<string, object>>) => Libc;

const isDeno = 'deno' in process.versions;
let libc: Libc | undefined;

/**
 * Call this in the same turn of the event loop as the start of the child.
 * @throws Error where the C library cannot be called
 */
export function keepNonBlocking(descriptors: readonly number[]): void {
  if (!isDeno || descriptors.length === 0) return;
  const { fcntl } = openLibc().symbols;
  for (const descriptor of descriptors) fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL, 0) | O_NONBLOCK);
}

/** Opened before a child is started: afterwards it would be too late to refuse. @throws Error where it cannot be called */
export function prepareNonBlocking(): void {
  if (isDeno) openLibc();
}

function openLibc(): Libc {
  const { dlopen } = (globalThis as unknown as { Deno: { dlopen: Open } }).Deno;
  const int = 'i32';
  libc ??= dlopen('libc.so.6', { fcntl: { parameters: [int, int, int], result: int } });
  return libc;
}
