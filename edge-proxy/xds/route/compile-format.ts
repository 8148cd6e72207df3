/** Envoy's `%COMMAND%` format strings in header values, compiled to closures. An unknown command is refused by name. */
import { wireText } from '../../../shared/match/wire.ts';
import { ConfigFault, faultAt } from '../../config-error.ts';
import { headerReader } from '../../http/matchers.ts';
import type { RequestContext } from '../../http/stream.ts';
import type { Clock } from '../../runtime/runtime.ts';
import { compileOperator, wallClockOf } from '../../telemetry/format-operators.ts';

/** What it gives is text of the wire: a character a byte. */
export type Format = (request: RequestContext) => string;

const commands: Record<string, Format> = {
  DOWNSTREAM_REMOTE_ADDRESS: (r) =>
    hostPort(r.remoteIp, r.remoteIp === r.downstream.remoteAddress ? r.downstream.remotePort : 0),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (r) => r.remoteIp,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (r) => hostPort(r.downstream.remoteAddress, r.downstream.remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (r) => r.downstream.remoteAddress,
  DOWNSTREAM_REMOTE_PORT: (r) => String(r.downstream.remotePort),
  DOWNSTREAM_LOCAL_ADDRESS: (r) => hostPort(r.downstream.localAddress, r.downstream.localPort),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (r) => r.downstream.localAddress,
  DOWNSTREAM_LOCAL_PORT: (r) => String(r.downstream.localPort),
  DOWNSTREAM_PEER_URI_SAN: (r) => wireText(r.downstream.peerUris.join(',')),
  DOWNSTREAM_PEER_DNS_SAN: (r) => wireText(r.downstream.peerDns.join(',')),
  DOWNSTREAM_PEER_SUBJECT: (r) => wireText(r.downstream.peerSubject),
  REQUESTED_SERVER_NAME: (r) => r.downstream.serverName,
  PROTOCOL: (r) => r.protocol,
  ROUTE_NAME: (r) => wireText(r.route?.name ?? ''),
  VIRTUAL_CLUSTER_NAME: () => '',
  UPSTREAM_CLUSTER: (r) => wireText(r.cluster?.name ?? ''),
  UPSTREAM_HOST: (r) => r.upstreamHost ?? '',
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (r) => String(r.attempts),
  RESPONSE_CODE: (r) => String(r.responseCode),
  RESPONSE_CODE_DETAILS: (r) => r.details,
  RESPONSE_FLAGS: (r) => (r.flags.length > 0 ? r.flags.join(',') : '-'),
};

/** Throws ConfigFault at `path` for an unknown command, an unclosed `%` or a control character. */
export function compileFormat(configured: string, path: string, clock: Clock): Format {
  const text = wireText(configured);
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(text)) throw new ConfigFault(path, 'holds a control character');
  if (!text.includes('%')) return () => text;
  const parts: Format[] = [];
  let literal = '';
  for (let at = 0; at < text.length; ) {
    if (text[at] !== '%') literal += text[at++];
    else if (text[at + 1] === '%') {
      literal += '%';
      at += 2;
    } else {
      const end = endOfCommand(text, at + 1);
      if (end < 0) throw new ConfigFault(path, `"${text}" has a "%" without its end; a literal one is "%%"`);
      if (literal !== '') parts.push(constant(literal));
      literal = '';
      parts.push(compileCommand(text.slice(at + 1, end), path, clock));
      at = end + 1;
    }
  }
  if (literal !== '') parts.push(constant(literal));
  if (parts.length === 1) return parts[0]!;
  return (request) => {
    let out = '';
    for (const part of parts) out += part(request);
    return out;
  };
}

function constant(text: string): Format {
  return () => text;
}

function compileCommand(command: string, path: string, clock: Clock): Format {
  if (Object.hasOwn(commands, command)) return commands[command]!;
  const parts = /^([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d{1,5}))?$/.exec(command);
  if (!parts) throw new ConfigFault(path, `cannot read the format command "%${command}%"`);
  const [, name = '', argument, limit] = parts;
  const length = limit === undefined ? undefined : Number(limit);
  const format = name === 'REQ' ? requestHeader(argument, command, path) : logged(name, argument, path, clock);
  return length === undefined ? format : (request) => format(request).slice(0, length);
}

/** Header values stay bytes of the wire here; the access log reads them as text. */
function requestHeader(argument: string | undefined, command: string, path: string): Format {
  const names = (argument ?? '').split('?');
  if (names.length > 2 || names.some((name) => !/^[^()\s]+$/.test(name)))
    throw new ConfigFault(path, `cannot read the format command "%${command}%"`);
  const [first, second] = names.map(firstValue);
  return (request) => first!(request) ?? second?.(request) ?? '';
}

/** Matchers see the fields of one name joined, formats the first of them. */
function firstValue(name: string): Format | ((request: RequestContext) => string | undefined) {
  const key = name.toLowerCase();
  return key.startsWith(':') || key === 'host' ? headerReader(key) : (request) => request.headers.get(key);
}

/** Every operator of the access log is one of headers too. */
function logged(name: string, argument: string | undefined, path: string, clock: Clock): Format {
  const field = faultAt(path, () => compileOperator(name, argument, wallClockOf(clock)));
  return (request) => {
    const value = field(request, clock.monotonicMs());
    return value === undefined ? '' : wireText(String(value)).replace(/[\u0000-\u0008\u000a-\u001f\u007f]/g, '?');
  };
}

/** A command ends at the next `%` outside of its parentheses. */
function endOfCommand(text: string, from: number): number {
  const end = text.indexOf('%', from);
  const open = text.indexOf('(', from);
  if (open < 0 || open > end) return end;
  const close = text.indexOf(')', open);
  return close < 0 ? -1 : text.indexOf('%', close);
}

function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
