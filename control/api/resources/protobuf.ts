/**
 * Kubernetes' protobuf bodies, for the kinds that `kubectl create namespace | configmap | secret | serviceaccount` sends so
 * by default. Envelope: k8s.io/apimachinery pkg/runtime/serializer/protobuf (`k8s\0`, then runtime.Unknown); messages:
 * k8s.io/api core/v1 and apimachinery meta/v1, generated.proto. proto2 wire format.
 */

/** The media type of such bodies. */
export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

/** The body is not such a message, or has a field that is not supported. */
export class ProtobufError extends Error {
  override name = 'ProtobufError';
}

type Read = (value: Uint8Array | bigint) => unknown;
/** A message of a kind that is accepted only as JSON. */
export class UnreadKind extends ProtobufError {}

interface Field {
  readonly name: string;
  readonly read: Read;
  readonly as: 'one' | 'list' | 'map';
}
type Message = Readonly<Record<number, Field>>;

const MAX_DEPTH = 16;
const utf8 = new TextDecoder('utf-8', { fatal: true });

const text: Read = (value) => utf8.decode(bytesOf(value));
const base64: Read = (value) => Buffer.from(bytesOf(value)).toString('base64');
const flag: Read = (value) => numberOf(value) !== 0n;
const whole: Read = (value) => Number(BigInt.asIntN(64, numberOf(value)));
const message =
  (fields: Message): Read =>
  (value) =>
    readMessage(bytesOf(value), fields, 1);

const one = (name: string, read: Read): Field => ({ name, read, as: 'one' });
const list = (name: string, read: Read): Field => ({ name, read, as: 'list' });
const map = (name: string, read: Read): Field => ({ name, read, as: 'map' });

const time: Read = (value) => {
  // Go writes a time that is not set as an empty message.
  const { seconds } = message({ 1: one('seconds', whole), 2: one('nanos', whole) })(value) as { seconds?: number };
  return seconds === undefined || Math.abs(seconds) > 8.64e12
    ? null
    : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
};
const metadata = message({
  1: one('name', text),
  2: one('generateName', text),
  3: one('namespace', text),
  4: one('selfLink', text),
  5: one('uid', text),
  6: one('resourceVersion', text),
  7: one('generation', whole),
  8: one('creationTimestamp', time),
  11: map('labels', text),
  12: map('annotations', text),
  14: list('finalizers', text),
});
const namedReference = message({ 1: one('name', text) });

const KINDS: Readonly<Record<string, Message>> = {
  'v1/Namespace': {
    1: one('metadata', metadata),
    2: one('spec', message({ 1: list('finalizers', text) })),
    3: one('status', message({ 1: one('phase', text) })),
  },
  'v1/ConfigMap': {
    1: one('metadata', metadata),
    2: map('data', text),
    3: map('binaryData', base64),
    4: one('immutable', flag),
  },
  'v1/Secret': {
    1: one('metadata', metadata),
    2: map('data', base64),
    3: one('type', text),
    4: map('stringData', text),
    5: one('immutable', flag),
  },
  'v1/ServiceAccount': {
    1: one('metadata', metadata),
    2: list('secrets', message({ 1: one('kind', text), 2: one('namespace', text), 3: one('name', text) })),
    3: list('imagePullSecrets', namedReference),
    4: one('automountServiceAccountToken', flag),
  },
};
const UNKNOWN: Message = {
  1: one('typeMeta', message({ 1: one('apiVersion', text), 2: one('kind', text) })),
  2: one('raw', bytesOf),
  3: one('contentEncoding', text),
  4: one('contentType', text),
};

/**
 * The object as its JSON. Empty texts and messages are left out, as Go's `omitempty` does when it writes JSON.
 * @throws ProtobufError
 */
export function readProtobuf(body: Uint8Array): Record<string, unknown> {
  if (body.length < 4 || utf8OrEmpty(body.subarray(0, 4)) !== 'k8s\0')
    throw new ProtobufError('the body does not begin as a Kubernetes protobuf message');
  const envelope = readMessage(body.subarray(4), UNKNOWN, 0) as {
    typeMeta?: { apiVersion?: string; kind?: string };
    raw?: Uint8Array;
    contentEncoding?: string;
  };
  const { apiVersion = '', kind = '' } = envelope.typeMeta ?? {};
  const fields = KINDS[`${apiVersion}/${kind}`];
  if (!fields)
    throw new UnreadKind(
      `${kind || 'this kind'} is not read from protobuf, only ${Object.keys(KINDS).join(', ')}: send JSON, as kubectl apply and create -f do`,
    );
  if (envelope.contentEncoding) throw new ProtobufError(`contentEncoding ${envelope.contentEncoding} is not supported`);
  return { apiVersion, kind, ...readMessage(envelope.raw ?? new Uint8Array(0), fields, 0) };
}

function readMessage(bytes: Uint8Array, fields: Message, depth: number): Record<string, unknown> {
  if (depth > MAX_DEPTH) throw new ProtobufError('the message is nested too deeply');
  const out: Record<string, unknown> = {};
  const reader = new Reader(bytes);
  while (!reader.done) {
    const { number, value } = reader.field();
    const field = fields[number];
    if (!field) throw new ProtobufError(`field number ${number} is not supported: send JSON, as kubectl apply does`);
    put(out, field, value);
  }
  return out;
}

function put(out: Record<string, unknown>, { name, read, as }: Field, value: Uint8Array | bigint): void {
  if (as === 'map') {
    const { key = '', value: held } = entry(bytesOf(value), read);
    if (key === '__proto__') throw new ProtobufError('a key must not be __proto__');
    // In place: a copy per entry would make a large body slow out of all proportion.
    const target = (out[name] ??= {}) as Record<string, unknown>;
    target[key] = held;
  } else if (as === 'list') {
    const target = (out[name] ??= []) as unknown[];
    target.push(read(value));
  } else {
    const found = read(value);
    if (!isEmpty(found)) out[name] = found;
  }
}

function entry(bytes: Uint8Array, read: Read): { key?: string; value?: unknown } {
  return { value: read(new Uint8Array(0)), ...readMessage(bytes, { 1: one('key', text), 2: one('value', read) }, 1) };
}

function isEmpty(value: unknown): boolean {
  if (value === '' || value === null || value === 0) return true;
  return typeof value === 'object' && !(value instanceof Uint8Array) && Object.keys(value as object).length === 0;
}

/** https://protobuf.dev/programming-guides/encoding: varints and length-delimited values are all these messages use. */
class Reader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  field(): { number: number; value: Uint8Array | bigint } {
    const tag = this.varint();
    const number = Number(tag >> 3n);
    const type = Number(tag & 7n);
    if (number === 0 || number > 0x1fffffff) throw new ProtobufError('the message has a bad field number');
    if (type === 0) return { number, value: this.varint() };
    if (type === 2) return { number, value: this.slice(Number(this.varint())) };
    throw new ProtobufError(`field number ${number} has wire type ${type}, which no field here has`);
  }

  private varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw truncated();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('the message has a number that is too long');
  }

  private slice(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw truncated();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

const truncated = () => new ProtobufError('the message ends too early');

function bytesOf(value: Uint8Array | bigint): Uint8Array {
  if (typeof value === 'bigint') throw new ProtobufError('a number instead of bytes');
  return value;
}

function numberOf(value: Uint8Array | bigint): bigint {
  if (typeof value !== 'bigint') throw new ProtobufError('bytes instead of a number');
  return value;
}

function utf8OrEmpty(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return '';
  }
}
