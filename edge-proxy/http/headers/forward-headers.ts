/**
 * What Envoy's connection manager does to the headers of a request before any filter sees it, and to those of every
 * response (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers).
 */

import { type Cidr, cidrContainsIp, cidrOf, parseIp } from '../../../shared/match/cidr.ts';
import { wireText } from '../../../shared/match/wire.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type { ClockAndRandom } from '../../runtime/runtime.ts';
import { hasToken } from '../codec/h1/fields.ts';
import type { HeaderMap } from '../message/header-map.ts';
import { badConnectionHeader, hostStripped, underscoreInName } from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { DownstreamInfo, LocalReply, RequestContext } from '../request/request-context.ts';
import { RequestIds } from '../request/request-id.ts';
import type { RouteTable } from '../routing/route-table.ts';
import { compileTraceHeaders, type TraceHeaders } from './trace-headers.ts';

/** Connection-level fields (RFC 9110 section 7.6.1); framing is rewritten for each hop. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);
/** What a client may not have dropped by naming it in Connection: this proxy's own statements, framing, credentials. */
const protectedFields = new Set([
  'host',
  'content-length',
  'authorization',
  'cookie',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-client-cert',
  'x-request-id',
]);
/** Controls of Envoy's router that only internal clients may use. */
const internalControls = new Set([
  'x-envoy-internal',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
]);
/** What an edge says to the mesh behind it, and logs in the place of what it was asked (CVE-2023-27487). */
const edgeControls = new Set([
  'x-envoy-decorator-operation',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
  'x-envoy-original-host',
  'x-envoy-original-path',
]);

type CertParts = NonNullable<HttpConnectionManager['setCurrentClientCertDetails']>;
type ClientCertDetails = NonNullable<HttpConnectionManager['forwardClientCertDetails']>;

/** The header treatment of one connection manager, compiled. */
export class HeaderTreatment {
  private readonly useRemoteAddress: boolean;
  private readonly trustedHops: number;
  private readonly appendFor: boolean;
  private readonly ids: RequestIds;
  private readonly trace: TraceHeaders | undefined;
  private readonly clientCert: ClientCertDetails;
  private readonly certParts: CertParts;
  /** The element of a connection is made once. */
  private readonly elements = new WeakMap<DownstreamInfo, string>();
  private readonly internal: readonly Cidr[];
  private readonly via: string;
  private readonly serverName: string;
  private readonly serverMode: NonNullable<HttpConnectionManager['serverHeaderTransformation']>;
  private readonly underscores: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER';
  private readonly stripPort: 'no' | 'matching' | 'any';
  private readonly stripDot: boolean;
  private readonly addPort: boolean;
  /** Whatever the connection was; undefined: what it was. */
  private readonly scheme: 'http' | 'https' | undefined;

  private readonly clock: Pick<ClockAndRandom, 'now' | 'random'>;

  constructor(config: HttpConnectionManager, clock: Pick<ClockAndRandom, 'now' | 'random'>) {
    this.useRemoteAddress = config.useRemoteAddress ?? false;
    this.trustedHops = config.xffNumTrustedHops ?? 0;
    this.appendFor = this.useRemoteAddress && !config.skipXffAppend;
    this.ids = new RequestIds(config, () => clock.random());
    this.trace = compileTraceHeaders(config.tracing);
    this.clock = clock;
    this.clientCert = config.forwardClientCertDetails ?? 'SANITIZE';
    this.certParts = config.setCurrentClientCertDetails ?? {};
    this.internal = (config.internalAddressConfig?.cidrRanges ?? []).map((range) => {
      const ip = parseIp(range.addressPrefix ?? '');
      if (!ip) throw new RangeError(`internal_address_config: "${range.addressPrefix}" is not an IP address`);
      return cidrOf(ip, range.prefixLen ?? 0);
    });
    this.via = config.via ?? '';
    this.serverName = wireText(config.serverName || 'envoy');
    this.serverMode = config.serverHeaderTransformation ?? 'OVERWRITE';
    this.underscores = config.commonHttpProtocolOptions?.headersWithUnderscoresAction ?? 'ALLOW';
    if (config.stripMatchingHostPort && config.stripAnyHostPort)
      throw new RangeError('strip_matching_host_port and strip_any_host_port exclude each other');
    this.stripPort = config.stripAnyHostPort ? 'any' : config.stripMatchingHostPort ? 'matching' : 'no';
    this.stripDot = config.stripTrailingHostDot ?? false;
    this.addPort = config.appendXForwardedPort ?? false;
    const overwrite = config.schemeHeaderTransformation?.schemeToOverwrite;
    this.scheme = overwrite && (overwrite === 'HTTPS' ? 'https' : 'http');
  }

  /**
   * @param upgrade the request asks for an upgrade and may be granted one; its fields are rewritten when sent
   * @returns the answer to a request that must be refused: it asks to strip protected fields, or has names that are not allowed
   */
  request(request: ProxyRequest): LocalReply | undefined {
    const { headers, downstream } = request;
    if (this.underscores !== 'ALLOW' && !this.dropUnderscores(headers)) return underscoreInName;
    const named = removeHopByHop(headers);
    if (named !== undefined) return named === 'host' ? hostStripped : badConnectionHeader;
    if (this.stripPort !== 'no' || this.stripDot) this.normalizeHost(request);
    // An x-forwarded-for value an intermediary could forge never marks a request internal.
    const received = headers.get('x-forwarded-for');
    const trusted = this.useRemoteAddress
      ? received === undefined
      : received !== undefined && !received.includes(',') && this.trustedHops === 0;
    this.addresses(request);
    const internal = trusted && this.isInternal(request.remoteIp);
    const edge = this.useRemoteAddress && !internal;
    if (internal) headers.set('x-envoy-internal', 'true');
    else {
      headers.removeAny(internalControls);
      if (edge) headers.removeAny(edgeControls);
    }
    if (edge) headers.set('x-envoy-external-address', request.remoteIp);
    this.ids.request(request, edge);
    this.trace?.(request);
    this.forwardClientCert(headers, downstream);
    if (this.via !== '') append(headers, 'via', this.via, ', ');
    return undefined;
  }

  /** @returns false: a name with an underscore is there, and they are refused */
  private dropUnderscores(headers: HeaderMap): boolean {
    for (const key of [...headers.keys]) {
      if (!key.includes('_')) continue;
      if (this.underscores === 'REJECT_REQUEST') return false;
      headers.remove(key);
    }
    return true;
  }

  /** What routing and the upstream see as the host; CONNECT names a port in any case (RFC 9110 section 9.3.6). */
  private normalizeHost(request: ProxyRequest): void {
    let host = request.authority;
    if (this.stripDot) {
      const colon = portAt(host);
      const name = colon < 0 ? host : host.slice(0, colon);
      if (name.endsWith('.')) host = name.slice(0, -1) + (colon < 0 ? '' : host.slice(colon));
    }
    const colon = portAt(host);
    if (colon > 0 && request.method !== 'CONNECT') {
      const port = Number(host.slice(colon + 1));
      if (this.stripPort === 'any' || (this.stripPort === 'matching' && port === request.downstream.localPort)) {
        host = host.slice(0, colon);
      }
    }
    request.authority = host;
  }

  private addresses(request: ProxyRequest): void {
    const { headers, downstream } = request;
    const received = headers.joined('x-forwarded-for');
    if (this.useRemoteAddress) {
      if (this.trustedHops > 0) request.remoteIp = hop(received, this.trustedHops) ?? downstream.remoteAddress;
      if (this.appendFor) append(headers, 'x-forwarded-for', downstream.remoteAddress);
    } else request.remoteIp = hop(received, this.trustedHops + 1) ?? downstream.remoteAddress;
    const trusted = !this.useRemoteAddress || this.trustedHops > 0;
    if (this.addPort && (!trusted || !headers.has('x-forwarded-port')))
      headers.set('x-forwarded-port', String(downstream.localPort));
    const proto = this.scheme ?? (downstream.secure ? 'https' : 'http');
    const claimed = headers.get('x-forwarded-proto');
    const { scheme } = request;
    if (claimed === undefined || !trusted || (claimed !== 'http' && claimed !== 'https')) {
      headers.set('x-forwarded-proto', proto);
      request.scheme = proto;
    } else request.scheme = this.scheme ?? claimed;
    // HTTP/2 says the scheme itself (RFC 9113 section 8.3.1), and keeps it as in Envoy.
    if (request.protocol === 'HTTP/2') request.scheme = this.scheme ?? scheme;
  }

  private isInternal(address: string): boolean {
    if (this.internal.length === 0) return false;
    const ip = parseIp(address);
    return ip !== undefined && this.internal.some((range) => cidrContainsIp(range, ip));
  }

  private forwardClientCert(headers: HeaderMap, downstream: DownstreamInfo): void {
    const mode = this.clientCert;
    if (mode === 'ALWAYS_FORWARD_ONLY') return;
    const mutual =
      downstream.secure && (downstream.peerHash || downstream.peerSubject !== '' || downstream.peerUris.length > 0);
    if (mode === 'SANITIZE' || !mutual) {
      headers.remove('x-forwarded-client-cert');
      return;
    }
    if (mode === 'FORWARD_ONLY') return;
    let element = this.elements.get(downstream);
    if (element === undefined) {
      element = clientCertElement(downstream, this.certParts);
      this.elements.set(downstream, element);
    }
    if (mode === 'SANITIZE_SET') headers.remove('x-forwarded-client-cert');
    if (element !== '') append(headers, 'x-forwarded-client-cert', element);
  }

  /** Treats the headers of a response, from the upstream or of our own. */
  response(request: RequestContext, headers: HeaderMap): void {
    this.ids.response(request.headers, headers);
    if (this.via !== '') append(headers, 'via', this.via, ', ');
    if (this.serverMode === 'OVERWRITE') headers.set('server', this.serverName);
    else if (this.serverMode === 'APPEND_IF_ABSENT' && !headers.has('server')) {
      headers.append('server', this.serverName, 'server');
    }
    if (!headers.has('date')) headers.append('date', httpDate(this.clock.now()), 'date');
  }
}

/** Where the colon of a port is in a host; -1: it has none. */
function portAt(host: string): number {
  const colon = host.lastIndexOf(':');
  return colon > 0 && !host.endsWith(']') && (host[0] !== '[' || host[colon - 1] === ']') ? colon : -1;
}

/** What nearly every Connection says; a field that is named like its option would have to go. */
function namesNothing(connection: string, headers: HeaderMap): boolean {
  return connection === 'keep-alive' || (connection === 'close' && !headers.has('close'));
}

/** Removes connection-level fields and those that Connection names. @returns the protected one it names, if any */
function removeHopByHop(headers: HeaderMap): string | undefined {
  const connection = headers.joined('connection');
  if (connection !== undefined && !namesNothing(connection, headers)) {
    for (const part of connection.split(',')) {
      const key = part.trim().toLowerCase();
      if (protectedFields.has(key)) return key;
      if (key !== '' && key !== 'te') headers.remove(key);
    }
  }
  headers.removeAny(hopByHop);
  const te = headers.joined('te');
  if (te !== undefined) {
    headers.remove('te');
    if (hasToken(te, 'trailers')) headers.append('te', 'trailers', 'te');
  }
  return undefined;
}

/** Removes internal_only_headers from external requests. */
export function removeInternalOnly({ headers }: RequestContext, table: RouteTable | undefined): void {
  const names = table?.internalOnly;
  if (names === undefined || headers.get('x-envoy-internal') === 'true') return;
  for (const name of names) headers.remove(name);
}

/** Removes the connection-level fields of a response. */
export function removeResponseHopByHop(headers: HeaderMap): void {
  const connection = headers.joined('connection');
  if (connection !== undefined && !namesNothing(connection, headers)) {
    for (const part of connection.split(',')) {
      const key = part.trim().toLowerCase();
      // A server cannot take its framing away either.
      if (key !== 'content-length') headers.remove(key);
    }
  }
  headers.removeAny(hopByHop);
}

/** The n-th address from the right, as Envoy trusts hops; undefined when there are fewer or it is no address. */
function hop(forwardedFor: string | undefined, fromRight: number): string | undefined {
  if (forwardedFor === undefined || fromRight < 1) return undefined;
  const parts = forwardedFor.split(',');
  const text = parts[parts.length - fromRight]?.trim();
  return text !== undefined && parseIp(text) ? text : undefined;
}

/**
 * Gives the request another host; as Envoy does, the upstream may still learn which was requested.
 * @param appendForwardedHost tell it in x-forwarded-host too
 */
export function rewriteHost(request: RequestContext, host: string, appendForwardedHost: boolean): void {
  if (appendForwardedHost) append(request.headers, 'x-forwarded-host', request.authority);
  request.headers.set('x-envoy-original-host', request.authority);
  request.authority = host;
}

/** @param separator Envoy writes a blank in `via` and none in its own fields */
function append(headers: HeaderMap, key: string, value: string, separator = ','): void {
  const before = headers.joined(key);
  headers.set(key, before === undefined || before === '' ? value : `${before}${separator}${value}`);
}

/** One element, its keys in Envoy's order: By and Hash always, the rest as requested; an empty URI still has its key. */
function clientCertElement(from: DownstreamInfo, parts: CertParts): string {
  const out: string[] = [];
  for (const uri of from.localUris ?? []) out.push(`By=${quoted(uri)}`);
  if (from.peerHash) out.push(`Hash=${from.peerHash}`);
  const chain = from.peerChain ?? [];
  if (parts.cert && chain[0]) out.push(`Cert="${urlEncodedPem(chain[0])}"`);
  if (parts.chain && chain[0]) out.push(`Chain="${chain.map(urlEncodedPem).join('')}"`);
  if (parts.subject) out.push(`Subject="${from.peerSubject.replace(/["\\]/g, '\\$&')}"`);
  if (parts.uri) {
    if (from.peerUris.length === 0) out.push('URI=');
    for (const uri of from.peerUris) out.push(`URI=${quoted(uri)}`);
  }
  if (parts.dns) for (const dns of from.peerDns) out.push(`DNS=${quoted(dns)}`);
  // A certificate's names must not become further elements or lines.
  return out.join(';').replace(/[^\x20-\x7e]/g, '?');
}

/** PEM as Envoy writes it into headers and checks: lines of 64, then percent-encoded. */
export function urlEncodedPem(der: Uint8Array): string {
  let binary = '';
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).replace(/.{64}(?=.)/g, '$&\n');
  return encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
}

function quoted(value: string): string {
  return /[",;=\\]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value;
}

let dateSecond = 0;
let dateText = '';

/** @param now milliseconds since the epoch */
function httpDate(now: number): string {
  const second = Math.floor(now / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}
