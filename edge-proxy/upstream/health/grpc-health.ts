/**
 * The gRPC health checking protocol (grpc.io: "GRPC Health Checking Protocol"): the call `grpc.health.v1.Health/Check`,
 * judged as Envoy's gRPC health checker does. Every answer that is not SERVING counts at once; no answer, against the
 * threshold.
 */
import { concat } from '../../http/codec/bytes.ts';
import type { UpstreamProtocol } from '../../http/codec/codecs.ts';
import { MESSAGE_HEAD } from '../../http/grpc/message-counter.ts';
import { framedMessage } from '../../http/grpc/message-reader.ts';
import { isGrpcType } from '../../http/grpc/status.ts';
import { formatGrpcTimeout } from '../../http/grpc/timeout.ts';
import type { HeaderMap } from '../../http/message/header-map.ts';
import type { ResponseHead } from '../../http/message/message.ts';
import type { ExchangeCheck, ResponseJudge } from './exchange-probe.ts';
import { type CheckResult, PASSED, REFUSED } from './health-checker.ts';

export interface GrpcCheck {
  /** '' : the server as a whole. */
  readonly serviceName: string;
  /** '' : the endpoint's, else the cluster's name. */
  readonly authority: string;
  readonly clusterName: string;
  /** HTTP/2. */
  readonly protocol: UpstreamProtocol;
  /** Every field but the timeout, names in lower case. */
  readonly metadata: HeaderMap;
  readonly timeoutMs: number;
  readonly reuseConnection: boolean;
}

const SERVING = 1;
/** A response is a byte or two; unknown fields of a later version may follow. */
const LONGEST_MESSAGE = 4096;

export function grpcCheck(spec: GrpcCheck): ExchangeCheck {
  const headers = spec.metadata.copy();
  headers.append('grpc-timeout', formatGrpcTimeout(spec.timeoutMs), 'grpc-timeout');
  return {
    protocol: spec.protocol,
    reuseConnection: spec.reuseConnection,
    body: framedMessage(healthCheckRequest(spec.serviceName)),
    head: (host, secure) => ({
      method: 'POST',
      scheme: secure ? 'https' : 'http',
      authority: host.healthCheck.hostname || spec.authority || spec.clusterName,
      path: '/grpc.health.v1.Health/Check',
      headers,
      bodySize: undefined,
      upgrade: '',
      wantsContinue: false,
      version: 'HTTP/2',
    }),
    judge: () => new HealthJudge(),
  };
}

/** Of one response. */
class HealthJudge implements ResponseJudge {
  private received: Uint8Array = new Uint8Array(0);

  onHead({ status, headers }: ResponseHead, end: boolean): CheckResult | undefined {
    // A response of a head alone tells an error, or breaks the protocol; OK without a message is no answer either.
    if (end || status !== 200 || !isGrpcType(onlyValue(headers, 'content-type'))) return REFUSED;
    return undefined;
  }

  onData(bytes: Uint8Array, end: boolean): CheckResult | undefined {
    // The status, which comes last, is missing.
    if (end) return REFUSED;
    const length = this.received.length + bytes.length;
    if (length > MESSAGE_HEAD + LONGEST_MESSAGE) return REFUSED;
    this.received = concat(this.received, bytes);
    return length < MESSAGE_HEAD || length < messageEnd(this.received) || servingStatus(this.received) !== undefined
      ? undefined
      : REFUSED;
  }

  onTrailers(trailers: HeaderMap): CheckResult {
    if (onlyValue(trailers, 'grpc-status') !== '0') return REFUSED;
    return servingStatus(this.received) === SERVING ? PASSED : REFUSED;
  }
}

/** The value of a field that is there once. */
function onlyValue(fields: HeaderMap, key: string): string | undefined {
  const at = fields.indexOf(key);
  return fields.indexOf(key, at + 1) < 0 ? fields.values[at] : undefined;
}

/** HealthCheckRequest: `string service = 1`. */
export function healthCheckRequest(service: string): Uint8Array {
  const text = new TextEncoder().encode(service);
  if (text.length === 0) return text;
  return concat(Uint8Array.from([0x0a, ...varint(text.length)]), text);
}

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest >= 128; rest >>>= 7) out.push((rest & 127) | 128);
  return [...out, rest];
}

/**
 * The status of the one message in a response's body.
 * @returns undefined for anything but exactly one whole message that is not compressed and well-formed
 */
export function servingStatus(body: Uint8Array): number | undefined {
  if (body.length < MESSAGE_HEAD || body[0] !== 0 || body.length !== messageEnd(body)) return undefined;
  return statusField(body.subarray(MESSAGE_HEAD));
}

/** Where the first message ends, whose head is there. */
function messageEnd(body: Uint8Array): number {
  return MESSAGE_HEAD + new DataView(body.buffer, body.byteOffset).getUint32(1);
}

/** HealthCheckResponse: `ServingStatus status = 1`. The last one counts, other fields are passed over (proto3). */
function statusField(bytes: Uint8Array): number | undefined {
  const reader = new ProtoReader(bytes);
  let status = 0;
  while (!reader.atEnd) {
    const key = reader.varint();
    if (key === undefined || key > 0xffffffffn || key >> 3n === 0n) return undefined;
    if (key === 8n) {
      const value = reader.varint();
      if (value === undefined) return undefined;
      // An enum is an int32: of a longer varint its lower bits.
      status = Number(BigInt.asIntN(32, value));
    } else if (!reader.skip(Number(key & 7n))) return undefined;
  }
  return status;
}

/** Protobuf's wire format (protobuf.dev: "Encoding"); undefined and false: it is malformed. */
class ProtoReader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  varint(): bigint | undefined {
    let value = 0n;
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    return undefined;
  }

  /** Groups (3 and 4) are not of proto3. */
  skip(wireType: number): boolean {
    if (wireType === 0) return this.varint() !== undefined;
    if (wireType === 1) this.at += 8;
    else if (wireType === 5) this.at += 4;
    else if (wireType === 2) {
      const length = this.varint();
      if (length === undefined || length > this.bytes.length) return false;
      this.at += Number(length);
    } else return false;
    return this.at <= this.bytes.length;
  }
}
