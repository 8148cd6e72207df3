/** The C library of this host, by `bun:ffi` or Deno.dlopen. */
import { readdirSync } from 'node:fs';

/** i: int, u: unsigned int, l: long, b: buffer, p: pointer as a number. Every result is an int but signal's. */
const SIGNATURES = {
  socket: 'iii',
  setsockopt: 'iiibu',
  bind: 'ibu',
  listen: 'ii',
  fcntl: 'iii',
  setgroups: 'lp',
  setresgid: 'uuu',
  setresuid: 'uuu',
  capset: 'bb',
  prctl: 'illll',
  signal: 'ip',
  syscall: 'lllll',
  execve: 'bbb',
} as const;
type Name = keyof typeof SIGNATURES;
type Word = number | bigint | ArrayBufferView;

export interface Libc {
  /** -1: an error. */
  call(name: Exclude<Name, 'execve'>, ...words: readonly Word[]): number;
  /** Returns only where it fails. */
  execve(path: string, words: readonly string[], environment: readonly string[]): void;
}

interface Opened {
  readonly functions: Readonly<Record<string, (...words: readonly Word[]) => unknown>>;
  /** The address of a buffer's first byte. */
  address(buffer: Uint8Array): bigint;
}

/** @throws where there is none, as on a host without one */
export async function openLibc(runtime: 'bun' | 'deno'): Promise<Libc> {
  const library = libraryName();
  const { functions, address } = runtime === 'bun' ? await openByBun(library) : openByDeno(library);
  return {
    call: (name, ...words) => Number(functions[name]!(...words)),
    execve: (path, words, environment) => {
      const lists = [words, environment].map((strings) => pointers(strings, address));
      functions['execve']!(cString(path), lists[0]!.list, lists[1]!.list);
      // The strings stay where the kernel reads them until here.
      for (const { strings } of lists) strings.length = 0;
    },
  };
}

/** glibc's name, or musl's, which holds the architecture. */
function libraryName(): string {
  const musl = readdirSync('/lib').find((name) => name.startsWith('libc.musl-'));
  return musl ? `/lib/${musl}` : 'libc.so.6';
}

const cString = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

/** A list of C strings, ended by a null pointer. */
function pointers(
  texts: readonly string[],
  address: Opened['address'],
): { list: BigUint64Array; strings: Uint8Array[] } {
  const strings = texts.map(cString);
  return { list: BigUint64Array.from([...strings.map(address), 0n]), strings };
}

async function openByBun(library: string): Promise<Opened> {
  const name: string = 'bun:ffi';
  const ffi = (await import(name)) as BunFfi;
  const types = { i: 'i32', u: 'u32', l: 'i64', b: 'ptr', p: 'i64' } as const;
  const { symbols } = ffi.dlopen(
    library,
    declarations((letter) => types[letter], 'args', 'returns'),
  );
  return { functions: symbols, address: (buffer) => BigInt(ffi.ptr(buffer)) };
}

function openByDeno(library: string): Opened {
  const { Deno } = globalThis as unknown as { Deno: DenoFfi };
  const types = { i: 'i32', u: 'u32', l: 'i64', b: 'buffer', p: 'i64' } as const;
  const { symbols } = Deno.dlopen(
    library,
    declarations((letter) => types[letter], 'parameters', 'result'),
  );
  return { functions: symbols, address: (buffer) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)) };
}

type Letter = 'i' | 'u' | 'l' | 'b' | 'p';

/** @param type of the runtime, of a letter */
function declarations(type: (letter: Letter) => string, words: string, result: string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(SIGNATURES).map(([name, letters]) => [
      name,
      { [words]: [...letters].map((letter) => type(letter as Letter)), [result]: name === 'signal' ? 'i64' : 'i32' },
    ]),
  );
}

interface BunFfi {
  dlopen(library: string, declared: object): { symbols: Opened['functions'] };
  ptr(buffer: Uint8Array): number;
}

interface DenoFfi {
  dlopen(library: string, declared: object): { symbols: Opened['functions'] };
  readonly UnsafePointer: { of(buffer: Uint8Array): unknown; value(pointer: unknown): bigint };
}
