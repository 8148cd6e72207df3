/** Envoy's `%COMMAND%` format strings in header values, compiled to closures. An unknown command is refused by name. */
import { wireText } from '../../shared/match/wire.ts';
import { headerReader } from '../http/matchers.ts';
import type { RequestContext } from '../http/stream.ts';
import { ConfigFault } from './config-fault.ts';

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
export function compileFormat(configured: string, path: string): Format {
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
      const end = text.indexOf('%', at + 1);
      if (end < 0) throw new ConfigFault(path, `"${text}" has a "%" without its end; a literal one is "%%"`);
      if (literal !== '') parts.push(constant(literal));
      literal = '';
      parts.push(compileCommand(text.slice(at + 1, end), path));
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

function compileCommand(command: string, path: string): Format {
  if (Object.hasOwn(commands, command)) return commands[command]!;
  const req = /^REQ\(([^?()]+)(?:\?([^?()]+))?\)(?::(\d{1,5}))?$/.exec(command);
  if (!req) throw new ConfigFault(path, `unsupported format command "%${command}%"`);
  const first = headerReader(req[1]!);
  const second = req[2] === undefined ? undefined : headerReader(req[2]);
  const length = req[3] === undefined ? undefined : Number(req[3]);
  return (request) => (first(request) ?? second?.(request) ?? '').slice(0, length);
}

function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
