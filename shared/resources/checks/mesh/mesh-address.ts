/** Addresses as MeshConfig writes them: `host:port` of services, `[namespace/]host` of providers, trust domains. */
import { dnsLabelViolation, fqdnViolation, isIp, wildcardDomainViolation } from '../primitives.ts';

/** `host:port`, `1.2.3.4:port` or `[v6]:port`. */
export function proxyAddressViolation(text: string): string | undefined {
  const parts = /^(?:\[([^\][]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (!parts) return `"${text}" must be host:port`;
  const [, bracketed, plain = ''] = parts;
  const port = Number(parts[3]);
  if (port < 1 || port > 65535) return `"${text}": the port must be 1 to 65535`;
  if (bracketed !== undefined ? isIp(bracketed) : isIp(plain) || fqdnViolation(plain) === undefined) return undefined;
  return `"${text}": "${bracketed ?? plain}" is neither a host name nor an IP address`;
}

/** `host`, an IP address, or `namespace/host`. */
export function providerServiceViolation(text: string): string | undefined {
  if (text === '') return 'must not be empty';
  const slash = text.indexOf('/');
  if (slash < 0) return isIp(text) ? undefined : fqdnViolation(text);
  const namespace = text.slice(0, slash);
  const host = text.slice(slash + 1);
  if (namespace === '' || host === '') return `"${text}" must be host or namespace/host`;
  if (!['*', '.', '~'].includes(namespace)) {
    const violation = dnsLabelViolation(namespace);
    if (violation) return `namespace ${violation}`;
  }
  if (!host.includes('.') && host !== '*') return `"${host}": write the whole domain name`;
  if (/^\*[^.]/.test(host)) return `"${host}": a wildcard must be a whole label`;
  return wildcardDomainViolation(host);
}

/** A trust domain: DNS labels, perhaps with a dot at the end. */
export function meshTrustDomainViolation(text: string): string | undefined {
  if (text === '') return 'must not be empty';
  const labels = text.split('.');
  if (labels.length > 1 && labels.at(-1) === '') labels.pop();
  return labels.some((label) => dnsLabelViolation(label))
    ? `"${text}" is not a trust domain: write DNS labels`
    : undefined;
}
