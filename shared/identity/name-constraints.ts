/**
 * Name constraints of CA certificates (RFC 5280 4.2.1.10), enforced whether the extension is critical or not: a CA that
 * may only speak for some names is taken at its word.
 */

/** One kind of name, as `readNameConstraints` sorts them. */
export interface Subtrees {
  readonly dns: readonly string[];
  readonly uris: readonly string[];
  readonly emails: readonly string[];
  /** Address and mask, 8 or 32 bytes. */
  readonly ips: readonly Uint8Array[];
}

export interface NameConstraints {
  readonly permitted: Subtrees;
  readonly excluded: Subtrees;
  /** It constrains a kind of name that is not judged here (directory names …): such a CA is not trusted. */
  readonly beyond: boolean;
}

export interface ConstrainedNames {
  readonly dns: readonly string[];
  readonly uris: readonly string[];
  readonly emails: readonly string[];
  readonly ips: readonly string[];
}

/** @throws Error when a name of a certificate is outside what a CA above it may speak for */
export function requirePermitted(names: ConstrainedNames, { permitted, excluded, beyond }: NameConstraints): void {
  if (beyond) throw new Error('peer certificate chain has a name constraint of a kind that is not supported');
  check('DNS', names.dns, permitted.dns, excluded.dns, dnsWithin);
  check('URI', names.uris.map(uriHost), permitted.uris, excluded.uris, hostWithin);
  check('email', names.emails, permitted.emails, excluded.emails, emailWithin);
  check('IP', names.ips.map(addressBytes), permitted.ips, excluded.ips, addressWithin);
}

function check<Name, Tree>(
  kind: string,
  names: readonly Name[],
  permitted: readonly Tree[],
  excluded: readonly Tree[],
  within: (name: Name, tree: Tree) => boolean,
): void {
  for (const name of names) {
    if (
      excluded.some((tree) => within(name, tree)) ||
      (permitted.length > 0 && !permitted.some((tree) => within(name, tree)))
    )
      throw new Error(`peer certificate has a ${kind} name that its issuer may not speak for`);
  }
}

/** `example.com` covers itself and every name below it; `.example.com` those below alone; '' all. */
function dnsWithin(name: string, tree: string): boolean {
  const host = name.toLowerCase();
  const base = tree.toLowerCase();
  if (base === '' || host === base) return true;
  return host.endsWith(base.startsWith('.') ? base : `.${base}`);
}

/** For URIs and mail hosts: `example.com` is that host alone, `.example.com` every host below it. */
function hostWithin(host: string, tree: string): boolean {
  const base = tree.toLowerCase();
  return base.startsWith('.') ? host.endsWith(base) : host === base;
}

function emailWithin(address: string, tree: string): boolean {
  const at = address.lastIndexOf('@');
  const host = address.slice(at + 1).toLowerCase();
  const treeAt = tree.lastIndexOf('@');
  if (treeAt < 0) return hostWithin(host, tree);
  return address.slice(0, at) === tree.slice(0, treeAt) && host === tree.slice(treeAt + 1).toLowerCase();
}

/** The host of a URI with an authority; a URI without one fits no constraint (RFC 5280), so it never passes one. */
function uriHost(uri: string): string {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^@/?#]*@)?([^:/?#]+)/.exec(uri)?.[1]?.toLowerCase() ?? '';
}

function addressBytes(text: string): Uint8Array {
  if (!text.includes(':')) return Uint8Array.from(text.split('.'), Number);
  // As readCertificate writes them: eight groups, never shortened.
  return Uint8Array.from(
    text.split(':').flatMap((group) => {
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 255];
    }),
  );
}

function addressWithin(address: Uint8Array, tree: Uint8Array): boolean {
  const size = address.length;
  if (tree.length !== size * 2) return false;
  return address.every((byte, i) => (byte & tree[size + i]!) === (tree[i]! & tree[size + i]!));
}
