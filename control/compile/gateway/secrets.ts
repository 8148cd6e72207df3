/**
 * Gateway credentials: `kubernetes://name` from a Secret of the gateway's own namespace. Only what the compiled
 * listeners and clusters name is sent, only to gateways, and never a proxy's identity (`default`, `ROOTCA`).
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import type { DataSource } from '../../../shared/xds/core.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import type { Secret } from '../../../shared/xds/tls.ts';
import { fields, namespaceOf, text } from '../../mesh/fields.ts';
import type { CompileContext } from '../node/context.ts';

const SCHEME = 'kubernetes://';
/** Behind a credential's name: what its peers are verified with. */
export const CA_SUFFIX = '-cacert';

export function gatewaySecrets(
  ctx: CompileContext,
  listeners: readonly Listener[],
  clusters: readonly Cluster[],
): Secret[] {
  if (ctx.proxy.type !== 'router') return [];
  const names = new Set<string>();
  collectNames([listeners, clusters], names);
  const secrets: Secret[] = [];
  for (const name of [...names].sort()) {
    const secret = name.endsWith(CA_SUFFIX) ? trustBundle(ctx, name) : keyPair(ctx, name);
    if (secret) secrets.push(secret);
    else ctx.note(`secret ${name}: no usable Secret of that name in namespace ${ctx.proxy.namespace}`);
  }
  return secrets;
}

/** Every SDS name below `value` that is a gateway credential. */
function collectNames(value: unknown, names: Set<string>): void {
  if (typeof value === 'string') {
    if (value.startsWith(SCHEME)) names.add(value);
  } else if (typeof value === 'object' && value !== null)
    for (const item of Array.isArray(value) ? value : Object.values(value)) collectNames(item, names);
}

function find(ctx: CompileContext, credential: string): Resource | undefined {
  return ctx.view
    .resources('Secret')
    .find((item) => item.metadata.name === credential && namespaceOf(item) === ctx.proxy.namespace);
}

function source(secret: Resource, key: string): DataSource | undefined {
  const { data, stringData } = secret as Resource & { data?: unknown; stringData?: unknown };
  const inlineString = text(fields(stringData)[key]);
  if (inlineString) return { inlineString };
  const inlineBytes = text(fields(data)[key]);
  return inlineBytes ? { inlineBytes } : undefined;
}

function keyPair(ctx: CompileContext, name: string): Secret | undefined {
  const secret = find(ctx, name.slice(SCHEME.length));
  if (!secret) return undefined;
  const certificateChain = source(secret, 'tls.crt') ?? source(secret, 'cert');
  const privateKey = source(secret, 'tls.key') ?? source(secret, 'key');
  return certificateChain && privateKey ? { name, tlsCertificate: { certificateChain, privateKey } } : undefined;
}

/** The CA is in a Secret of its own, `name-cacert`, or beside the key pair. */
function trustBundle(ctx: CompileContext, name: string): Secret | undefined {
  const own = name.slice(SCHEME.length);
  const secret = find(ctx, own) ?? find(ctx, own.slice(0, -CA_SUFFIX.length));
  const trustedCa = secret && (source(secret, 'ca.crt') ?? source(secret, 'cacert'));
  const crl = secret && (source(secret, 'ca.crl') ?? source(secret, 'crl'));
  return trustedCa && { name, validationContext: { trustedCa, ...(crl && { crl }) } };
}
