/** URLs as CEL's `url()` and `isURL()` read them in Kubernetes, which is Go's url.ParseRequestURI (go.dev/src/net/url, Go 1.26). */
import { isIpAddress } from '../../match/cidr.ts';

/** The scheme of a URL in lower case, '' for a path; undefined where Go refuses the text. */
export function requestUriScheme(text: string): string | undefined {
  if (text === '' || /[\x00-\x1f\x7f]/.test(text)) return undefined;
  if (text === '*') return '';
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(text)?.[1];
  const rest = (scheme === undefined ? text : text.slice(scheme.length + 1)).split('?')[0] ?? '';
  // Without a slash it is opaque (mailto:a@b) after a scheme, and nothing without one.
  if (!rest.startsWith('/')) return scheme?.toLowerCase();
  if (scheme === undefined) return isEscaped(rest) ? '' : undefined;
  const authority = /^\/\/([^/]*)/.exec(rest)?.[1];
  const path = authority === undefined ? rest : rest.slice(2 + authority.length);
  return isEscaped(path) && (authority === undefined || isAuthority(authority, /^https?$/i.test(scheme)))
    ? scheme.toLowerCase()
    : undefined;
}

/** Every `%` begins an escape. */
function isEscaped(path: string): boolean {
  return !/%(?![0-9a-fA-F]{2})/.test(path);
}

function isAuthority(authority: string, web: boolean): boolean {
  const at = authority.lastIndexOf('@');
  const user = at < 0 ? '' : authority.slice(0, at);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user) || !isEscaped(user)) return false;
  const host = authority.slice(at + 1);
  if (host.includes('[', 1)) return false;
  if (host.startsWith('[')) {
    const [, literal = '', zone, port = ''] = /^\[([^%]*?)(%25.*)?\]([^\]]*)$/.exec(host) ?? [];
    return literal.includes(':') && isIpAddress(literal) && (zone === undefined || isZone(zone)) && isPort(port);
  }
  // Only of the web's own schemes a host may have no other colon than that of its port.
  const colon = web ? host.indexOf(':') : host.lastIndexOf(':');
  const name = colon < 0 ? host : host.slice(0, colon);
  return isHost(name) && (colon < 0 || isPort(host.slice(colon)));
}

const isPort = (text: string) => /^(:[0-9]*)?$/.test(text);
/** In a zone only `%`, a space and unreserved characters may be escaped. */
function isZone(zone: string): boolean {
  const plain = zone
    .slice('%25'.length)
    .replace(/%(?:25|20)/g, 'x')
    .replace(/%([0-7][0-9a-fA-F])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return plain !== '' && HOST.test(plain);
}

/** Any non-ASCII character is allowed; escapes stand only for that, or for the `%` of an IPv6 zone. */
function isHost(host: string): boolean {
  const plain = host.replace(/%([89a-fA-F][0-9a-fA-F]|25)/g, '');
  return HOST.test(plain);
}

const HOST = /^[A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"\u{80}-\u{10ffff}]*$/u;
