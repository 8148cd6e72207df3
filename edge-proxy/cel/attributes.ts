/** What expressions read of a request or a connection, with the types that Envoy gives it (envoyproxy.io, "Attributes"). */
import type { CelMapAttribute, CelValueAttribute } from '../../shared/cel/attribute-names.ts';
import {
  type AttributeValue,
  attributeMaps,
  attributes,
  PEER_FIELDS,
  type PeerField,
} from '../attributes/attributes.ts';
import type { TrafficRecord } from '../attributes/record.ts';
import { grpcStatusOf } from '../http/grpc/status.ts';
import type { HeaderMap } from '../http/message/header-map.ts';
import type { RequestContext } from '../http/request/request-context.ts';
import { type CelMap, type CelValue, Duration, JsonMap, Timestamp } from './values.ts';

/** Epoch milliseconds of a time on the monotonic clock that requests use. */
export type WallClock = (monotonicMs: number) => number;

type Read = (record: TrafficRecord) => AttributeValue;

/** A number is an int of CEL. */
export type ValueAttribute =
  | { readonly kind: 'plain'; readonly read: Read }
  | { readonly kind: 'time'; readonly read: (record: TrafficRecord, wallClock: WallClock) => CelValue | undefined };

const plain = (read: Read): ValueAttribute => ({ kind: 'plain', read });

function headBytes(headers: HeaderMap | undefined): number {
  if (!headers) return 0;
  let total = 0;
  for (let i = 0; i < headers.size; i++) total += headers.keys[i]!.length + headers.values[i]!.length;
  return total;
}

function requestBytes(r: TrafficRecord): number {
  if (r.kind !== 'request') return r.bytesReceived;
  const pseudo = r.method.length + r.path.length + r.authority.length + r.scheme.length;
  return r.bytesReceived + headBytes(r.headers) + pseudo + PSEUDO_NAMES;
}
const PSEUDO_NAMES = ':method:path:authority:scheme'.length;

function responseBytes(r: TrafficRecord): number {
  if (r.kind !== 'request') return r.bytesSent;
  const status = r.responseStatus ? ':status'.length + 3 : 0;
  return r.bytesSent + headBytes(r.responseHeaders) + headBytes(r.responseTrailers) + status;
}

/** The gRPC status that any HTTP response amounts to. */
function grpcStatus(r: TrafficRecord): number | undefined {
  return r.kind === 'request' ? grpcStatusOf(r.responseTrailers, r.responseHeaders, r.responseCode) : undefined;
}

const nanosOf = (ms: number): bigint => BigInt(Math.round(ms * 1_000_000));

const ownReaders = {
  'request.time': { kind: 'time', read: (r, wallClock) => new Timestamp(nanosOf(wallClock(r.startMs))) },
  'request.duration': {
    kind: 'time',
    read: (r) => (r.endMs > 0 ? new Duration(nanosOf(Math.max(0, r.endMs - r.startMs))) : undefined),
  },
  'request.size': plain((r) => attributes['request.size'](r) ?? r.bytesReceived),
  'request.total_size': plain(requestBytes),
  'response.size': plain((r) => r.bytesSent),
  'response.total_size': plain(responseBytes),
  'response.grpc_status': plain(grpcStatus),
  'connection.requested_server_name': plain((r) => r.downstream.serverName),
} satisfies Partial<Record<CelValueAttribute, ValueAttribute>>;

/** The reader of an attribute that is a value. */
export function valueAttribute(name: CelValueAttribute): ValueAttribute {
  if (Object.hasOwn(ownReaders, name)) return ownReaders[name as keyof typeof ownReaders];
  return plain(attributes[name as Exclude<CelValueAttribute, keyof typeof ownReaders>]);
}

export function isValueAttribute(name: CelValueAttribute | CelMapAttribute): name is CelValueAttribute {
  return !Object.hasOwn(mapReaders, name);
}

const mapReaders: Readonly<Record<CelMapAttribute, (record: TrafficRecord) => CelMap>> = {
  'request.headers': (r) => (r.kind === 'request' ? new RequestFields(r) : NONE),
  'response.headers': (r) => (r.kind === 'request' ? new ResponseFields(r.responseHeaders, r.responseStatus) : NONE),
  'response.trailers': (r) => (r.kind === 'request' ? new ResponseFields(r.responseTrailers, 0) : NONE),
  'metadata.filter_metadata': (r) => (r.kind === 'request' && r.metadata ? new JsonMap(r.metadata) : NONE),
  filter_state: (r) => new FilterState(r),
};

/** The map itself; a key that is known beforehand is read with `fieldOfMap`. */
export const mapAttribute = (name: CelMapAttribute): ((record: TrafficRecord) => CelMap) => mapReaders[name];

/** One field of a head, without the map around it; undefined: the map has to be made. */
export function fieldOfMap(name: CelMapAttribute, key: string): Read | undefined {
  const field = key.toLowerCase();
  if (name === 'request.headers') return requestField(field);
  if (name === 'response.headers')
    return field === ':status' ? statusText : (attributeMaps['response.headers'](field) as Read);
  return name === 'response.trailers' ? (attributeMaps['response.trailers'](field) as Read) : undefined;
}

const statusText: Read = (r) => (r.kind === 'request' && r.responseStatus ? String(r.responseStatus) : undefined);

const PSEUDO: Readonly<Record<string, Read>> = {
  ':method': attributes['request.method'],
  ':path': attributes['request.path'],
  ':authority': attributes['request.host'],
  host: attributes['request.host'],
  ':scheme': attributes['request.scheme'],
};

const requestField = (field: string): Read =>
  Object.hasOwn(PSEUDO, field) ? PSEUDO[field]! : (attributeMaps['request.headers'](field) as Read);

const NONE: CelMap = { size: 0, get: () => undefined };

class RequestFields implements CelMap {
  private readonly request: RequestContext;
  constructor(request: RequestContext) {
    this.request = request;
  }
  /** With :method, :path, :authority and :scheme. */
  get size(): number {
    return this.request.headers.size + 4;
  }
  get(key: CelValue): CelValue | undefined {
    return typeof key === 'string' ? (requestField(key.toLowerCase())(this.request) as string | undefined) : undefined;
  }
}

class ResponseFields implements CelMap {
  private readonly headers: HeaderMap | undefined;
  private readonly status: number;
  /** @param status 0: there is no :status */
  constructor(headers: HeaderMap | undefined, status = 0) {
    this.headers = headers;
    this.status = status;
  }
  get size(): number {
    return (this.headers?.size ?? 0) + (this.status ? 1 : 0);
  }
  get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string') return undefined;
    const field = key.toLowerCase();
    if (field === ':status') return this.status ? String(this.status) : undefined;
    return this.headers?.joined(field);
  }
}

/** Of Envoy's filter state there is what the peer metadata filter has found. */
class FilterState implements CelMap {
  private readonly record: TrafficRecord;
  constructor(record: TrafficRecord) {
    this.record = record;
  }
  get size(): number {
    return (this.get('downstream_peer') ? 1 : 0) + (this.get('upstream_peer') ? 1 : 0);
  }
  get(key: CelValue): CelValue | undefined {
    const { record } = this;
    if (record.kind !== 'request') return undefined;
    const side = key === 'downstream_peer' || key === 'upstream_peer' ? key : undefined;
    const peer = side === 'downstream_peer' ? record.downstreamPeer : side && record.upstreamPeer;
    return peer && side ? new PeerFields(record, side) : undefined;
  }
}

class PeerFields implements CelMap {
  private readonly record: TrafficRecord;
  private readonly side: 'downstream_peer' | 'upstream_peer';
  constructor(record: TrafficRecord, side: 'downstream_peer' | 'upstream_peer') {
    this.record = record;
    this.side = side;
  }
  get size(): number {
    return Object.keys(PEER_FIELDS).filter((field) => this.get(field) !== undefined).length;
  }
  get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string' || !Object.hasOwn(PEER_FIELDS, key)) return undefined;
    return attributeMaps[this.side](key as PeerField)(this.record as RequestContext);
  }
}
