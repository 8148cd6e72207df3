/** envoy.service.auth.v3.CheckRequest, as Envoy fills it (attribute_context.proto), in protobuf's binary form. */
import { textOfWire } from '../../../../shared/match/wire.ts';
import { writeStruct } from '../../../protobuf/struct.ts';
import { ProtoWriter } from '../../../protobuf/writer.ts';
import { fromLatin1, joined } from '../../codec/bytes.ts';
import { urlEncodedPem } from '../../headers/forward-headers.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { DownstreamInfo, RequestContext } from '../../request/request-context.ts';
import type { BufferedBody } from '../hooks.ts';
import { type HeaderChoice, shownHeaders } from './headers.ts';

/** What does not depend on the request. */
export interface CheckForm {
  readonly shows: HeaderChoice;
  /** Every field by itself, its value as bytes. */
  readonly rawHeaders: boolean;
  readonly packAsBytes: boolean;
  readonly peerCertificate: boolean;
  readonly tlsSession: boolean;
  readonly metadataNamespaces: readonly string[];
  readonly destinationLabels: Readonly<Record<string, string>>;
}

export interface HttpFacts {
  readonly request: RequestContext;
  readonly body: BufferedBody | undefined;
  readonly maxBodyBytes: number;
  readonly contextExtensions: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly id: string;
}

export function httpCheck(form: CheckForm, facts: HttpFacts): Uint8Array {
  const { request, contextExtensions, time } = facts;
  const writer = new ProtoWriter();
  writer.message(1, (attributes) => {
    const service = request.headers.get('x-envoy-downstream-service-cluster') ?? '';
    writeSource(attributes, form, request.downstream, { service, tokenPrincipal: request.tokenPrincipal });
    writeDestination(attributes, form, request.downstream);
    attributes.message(4, (one) => {
      one.message(1, (timestamp) => {
        timestamp.uint(1, Math.floor(time / 1000));
        timestamp.uint(2, (Math.floor(time) % 1000) * 1e6);
      });
      one.message(2, (http) => writeHttp(http, form, facts));
    });
    for (const key of Object.keys(contextExtensions))
      attributes.entry(10, key, (entry) => entry.text(2, contextExtensions[key]!));
    attributes.message(11, (metadata) => writeMetadata(metadata, request, form.metadataNamespaces));
    writeTls(attributes, form, request.downstream);
    attributes.message(13, () => {});
  });
  return writer.finish();
}

/** Of a connection. */
export function connectionCheck(form: CheckForm, downstream: DownstreamInfo): Uint8Array {
  const writer = new ProtoWriter();
  writer.message(1, (attributes) => {
    writeSource(attributes, form, downstream, { service: '', tokenPrincipal: undefined });
    writeDestination(attributes, form, downstream);
    attributes.message(11, () => {});
    writeTls(attributes, form, downstream);
  });
  return writer.finish();
}

function writeSource(
  attributes: ProtoWriter,
  { peerCertificate }: CheckForm,
  { remoteAddress, remotePort, peerUris, peerDns, peerSubject, peerChain }: DownstreamInfo,
  { service, tokenPrincipal }: { service: string; tokenPrincipal: string | undefined },
): void {
  attributes.message(1, (peer) => {
    writeAddress(peer, remoteAddress, remotePort);
    peer.latin1(2, utf8OfWire(service));
    peer.text(4, tokenPrincipal ?? peerUris[0] ?? peerDns[0] ?? peerSubject);
    const leaf = peerChain?.[0];
    if (peerCertificate && leaf) peer.text(5, urlEncodedPem(leaf));
  });
}

function writeDestination(
  attributes: ProtoWriter,
  { destinationLabels }: CheckForm,
  { localAddress, localPort, localUris }: DownstreamInfo,
): void {
  attributes.message(2, (peer) => {
    writeAddress(peer, localAddress, localPort);
    for (const key of Object.keys(destinationLabels))
      peer.entry(3, key, (entry) => entry.text(2, destinationLabels[key]!));
    peer.text(4, localUris?.[0] ?? '');
  });
}

function writeAddress(peer: ProtoWriter, address: string, port: number): void {
  peer.message(1, (one) =>
    one.message(1, (socket) => {
      socket.text(2, address);
      socket.member(3, port);
    }),
  );
}

function writeTls(attributes: ProtoWriter, { tlsSession }: CheckForm, { secure, serverName }: DownstreamInfo): void {
  if (tlsSession && secure && serverName !== '') attributes.message(12, (session) => session.text(1, serverName));
}

function writeHttp(http: ProtoWriter, form: CheckForm, { request, body, maxBodyBytes, id }: HttpFacts): void {
  const { method, path, authority, scheme, protocol, bytesReceived } = request;
  http.text(1, id);
  http.latin1(2, method);
  const headers = shownHeaders(request, form.shows, body, maxBodyBytes);
  if (!form.rawHeaders) {
    for (const [key, value] of pseudoHeaders(request)) if (form.shows(key)) writeHeader(http, key, value);
    for (const [i, key] of headers.keys.entries()) writeHeader(http, key, headers.values[i]!);
  }
  http.latin1(4, utf8OfWire(path));
  http.latin1(5, utf8OfWire(authority));
  http.latin1(6, scheme);
  http.uint(9, bytesReceived);
  http.latin1(10, protocol);
  if (body && body.bytes > 0) {
    const bytes = joined(body.chunks, body.bytes).subarray(0, maxBodyBytes);
    if (form.packAsBytes) http.blob(12, bytes);
    else http.blob(11, asUtf8(bytes));
  }
  if (form.rawHeaders) http.message(13, (map) => writeRawHeaders(map, form, request, headers));
}

function writeHeader(http: ProtoWriter, key: string, value: string): void {
  http.message(3, (entry) => {
    entry.latin1(1, key);
    entry.latin1(2, utf8OfWire(value));
  });
}

/** @param shown those that are made here are in it alone */
function writeRawHeaders(map: ProtoWriter, { shows }: CheckForm, request: RequestContext, shown: HeaderMap): void {
  const write = (key: string, value: string) =>
    map.message(1, (header) => {
      header.latin1(1, key);
      header.latin1(3, value);
    });
  for (const [key, value] of pseudoHeaders(request)) if (shows(key)) write(key, value);
  const { keys, values } = request.headers;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (shows(key) && shown.has(key) && key !== 'x-envoy-auth-partial-body') write(key, values[i]!);
  }
  const partial = shown.get('x-envoy-auth-partial-body');
  if (partial !== undefined) write('x-envoy-auth-partial-body', partial);
}

/** A CONNECT has no path and no scheme. */
function pseudoHeaders({ authority, path, method, scheme }: RequestContext): [string, string][] {
  const out: [string, string][] = [
    [':authority', authority],
    [':path', path],
    [':method', method],
    [':scheme', scheme],
  ];
  return out.filter(([, value]) => value !== '');
}

function writeMetadata(metadata: ProtoWriter, request: RequestContext, namespaces: readonly string[]): void {
  for (const name of namespaces) {
    const fields = request.metadata;
    if (fields === undefined || !Object.hasOwn(fields, name)) continue;
    metadata.entry(1, name, (entry) => entry.message(2, (struct) => writeStruct(struct, fields[name]!)));
  }
}

/** Text fields are UTF-8: as in Envoy, bytes that are not become `!`. */
function utf8OfWire(wire: string): string {
  if (textOfWire(wire) !== undefined) return wire;
  const bytes = asUtf8(fromLatin1(wire));
  let out = '';
  for (const byte of bytes) out += String.fromCharCode(byte);
  return out;
}

const EXCLAMATION = 0x21;

/** The bytes, with `!` for each that belongs to no character of UTF-8 (RFC 3629 section 4). */
export function asUtf8(bytes: Uint8Array): Uint8Array {
  let out: Uint8Array | undefined;
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length > 0) at += length;
    else {
      out ??= new Uint8Array(bytes);
      out[at++] = EXCLAMATION;
    }
  }
  return out ?? bytes;
}

/** Bytes of the character that begins at `at`; 0: none does. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const second = bytes[at + 1] ?? 0;
  const continues = (index: number) => ((bytes[index] ?? 0) & 0xc0) === 0x80;
  if (first >= 0xc2 && first <= 0xdf) return continues(at + 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const low = first === 0xe0 ? 0xa0 : 0x80;
    const high = first === 0xed ? 0x9f : 0xbf;
    return second >= low && second <= high && continues(at + 2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const low = first === 0xf0 ? 0x90 : 0x80;
    const high = first === 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high && continues(at + 2) && continues(at + 3) ? 4 : 0;
  }
  return 0;
}
