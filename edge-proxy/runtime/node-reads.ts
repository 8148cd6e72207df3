/**
 * Node's sockets read into memory of ours, as `net.connect({ onread })` documents: no 64 KB allocated for each read, and
 * no stream between the kernel and the handler. For accepted sockets Node has no option, so what the option sets is set
 * on them; its keys are found by what a probe holds under them, and without them sockets are read as streams.
 */
import net from 'node:net';

/** Takes `length` bytes at the begin of `memory`, on the socket they came from. @returns false: reading stops */
export type TakeRead = (this: net.Socket, length: number, memory: Uint8Array) => boolean;

interface ReadHandle {
  useUserBuffer?(memory: Uint8Array): void;
}
type Readable = net.Socket & { _handle?: ReadHandle | null } & Record<symbol, unknown>;

interface Keys {
  readonly memory: symbol;
  readonly take: symbol;
  readonly next: symbol;
}

/** One read is handled before the next one begins, so every connection reads into the same memory. */
const shared = new Uint8Array(64 * 1024);
let following: Uint8Array | undefined;
const keys = findKeys();

function findKeys(): Keys | undefined {
  const take = () => true;
  const buffer = () => shared;
  const probe = new net.Socket({ onread: { buffer, callback: take } }) as Readable;
  const found = Object.getOwnPropertySymbols(probe);
  const holding = (value: unknown) => found.filter((key) => probe[key] === value);
  // Under its third key such a socket holds `true` until there is memory; one of fixed memory tells which key that is.
  const fixed = new net.Socket({ onread: { buffer: shared, callback: take } }) as Readable;
  const memory = found.filter((key) => fixed[key] === shared);
  const [takes, nexts] = [holding(take), holding(buffer)];
  if (memory.length !== 1 || takes.length !== 1 || nexts.length !== 1) return undefined;
  return { memory: memory[0]!, take: takes[0]!, next: nexts[0]! };
}

/** Node asks once after each read. */
function nextMemory(): Uint8Array | undefined {
  const memory = following;
  following = undefined;
  return memory;
}

/** Within a TakeRead: the socket's next reads go to this memory, not to what they went to before; without: to the shared. */
export function readNextInto(memory: Uint8Array = shared): void {
  following = memory;
}

/**
 * From now on `take` gets what an open socket reads; it must have been read from not at all so far.
 * @returns false: not possible, the socket is read as a stream
 */
export function readDirectly(socket: net.Socket, take: TakeRead): boolean {
  const readable = socket as Readable;
  const handle = readable._handle;
  if (!keys || !handle?.useUserBuffer || socket.readableLength > 0 || socket.readableEnded) return false;
  handle.useUserBuffer(shared);
  readable[keys.memory] = shared;
  readable[keys.take] = take;
  readable[keys.next] = nextMemory;
  return true;
}
