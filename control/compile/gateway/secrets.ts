/**
 * Gateway credentials: `kubernetes://name` from a Secret of the gateway's own namespace. Only what the compiled
 * listeners and clusters name is sent, only to gateways, and never a proxy's identity (`default`, `ROOTCA`).
 */

import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { DataSource } from '../../../shared/xds/core.ts';
import type { Secret } from '../../../shared/xds/tls.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import { generator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import type { SharedResource } from '../output/shared-resource.ts';
import { CA_SUFFIX } from '../security/server-tls.ts';

const SCHEME = 'kubernetes://';
/** Behind a credential's name: what its peers are verified with. */

type StoredSecret = ResourceOfKind<'Secret'>;

export interface GatewaySecrets {
  readonly secrets: readonly Secret[];
  /** Credentials that are named and cannot be had. */
  readonly notes: readonly string[];
}

/** The Secrets of a gateway's `namespace` that its `resources` name, by name. Pauses after each resource. */
export function* gatewaySecrets(
  all: readonly StoredSecret[],
  namespace: string,
  resources: Iterable<SharedResource>,
): Work<GatewaySecrets> {
  const names = new Set<string>();
  for (const { resource } of resources) {
    for (const name of credentialNames({ resource })) names.add(name);
    yield;
  }
  const index = secretIndex({ all });
  const secrets: Secret[] = [];
  const notes: string[] = [];
  for (const name of [...names].sort()) {
    const secret = secretOf(index, namespace, name);
    if (secret) secrets.push(secret);
    else notes.push(`secret ${name}: no usable Secret of that name in namespace ${namespace}`);
  }
  return { secrets, notes };
}

type SecretIndex = ReadonlyMap<string, StoredSecret>;
const secretIndex = generator<{ all: readonly StoredSecret[] }, SecretIndex>({ all: true }, ({ all }) => {
  const index = new Map<string, StoredSecret>();
  for (const item of all) {
    const key = `${namespaceOf(item)}/${item.metadata.name}`;
    if (!index.has(key)) index.set(key, item);
  }
  return index;
});

const credentialNames = generator<{ resource: object }, readonly string[]>({ resource: true }, ({ resource }) => {
  const names = new Set<string>();
  collectNames(resource, names);
  return [...names];
});

function secretOf(index: SecretIndex, namespace: string, name: string): Secret | undefined {
  const find = (credential: string) => index.get(`${namespace}/${credential}`);
  const own = name.slice(SCHEME.length);
  if (!name.endsWith(CA_SUFFIX)) {
    const secret = find(own);
    return secret && keyPair({ secret, name });
  }
  // The CA is in a Secret of its own, `name-cacert`, or beside the key pair.
  const secret = find(own) ?? find(own.slice(0, -CA_SUFFIX.length));
  return secret && trustBundle({ secret, name });
}

/** Every SDS name below `value` that is a gateway credential. */
function collectNames(value: unknown, names: Set<string>): void {
  if (typeof value === 'string') {
    if (value.startsWith(SCHEME)) names.add(value);
  } else if (typeof value === 'object' && value !== null)
    for (const item of Array.isArray(value) ? value : Object.values(value)) collectNames(item, names);
}

function source({ data, stringData }: StoredSecret, key: string): DataSource | undefined {
  const inlineString = stringData?.[key];
  if (inlineString) return { inlineString };
  const inlineBytes = data?.[key];
  return inlineBytes ? { inlineBytes } : undefined;
}

interface NamedSecret {
  readonly secret: StoredSecret;
  readonly name: string;
}

const keyPair = generator<NamedSecret, Secret | undefined>({ secret: true, name: true }, ({ secret, name }) => {
  const certificateChain = source(secret, 'tls.crt') ?? source(secret, 'cert');
  const privateKey = source(secret, 'tls.key') ?? source(secret, 'key');
  return certificateChain && privateKey ? { name, tlsCertificate: { certificateChain, privateKey } } : undefined;
});

const trustBundle = generator<NamedSecret, Secret | undefined>({ secret: true, name: true }, ({ secret, name }) => {
  const trustedCa = source(secret, 'ca.crt') ?? source(secret, 'cacert');
  const crl = source(secret, 'ca.crl') ?? source(secret, 'crl');
  return trustedCa && { name, validationContext: { trustedCa, ...(crl && { crl }) } };
});
