/**
 * envoy.filters.http.jwt_authn for JWT-SVIDs: a workload that cannot present a client certificate proves its SPIFFE id
 * by a token (shared/identity/jwt-svid.ts). Key sets are local; a new one comes as new config.
 */
import { createJwtSvidVerifier, JwtSvidError, type VerifiedJwtSvid } from '../../../shared/identity/jwt-svid.ts';
import type { JwtAuthentication } from '../../../shared/xds/http-connection-manager.ts';
import { jsonName } from '../../../shared/xds/message.ts';
import { ConfigFault } from '../../config/config-fault.ts';
import type { HttpFilter, LocalReply, RequestContext, Verdict } from '../stream.ts';

const NAME = 'envoy.filters.http.jwt_authn';
type Provider = NonNullable<JwtAuthentication['providers']>[string];

interface CompiledProvider {
  /** The token this provider reads, undefined when the request has none. */
  token(request: RequestContext): string | undefined;
  verify(token: string): Promise<VerifiedJwtSvid>;
  /** Removes the token: it goes no further. */
  strip(request: RequestContext): void;
  payloadKey: string | undefined;
}
interface Requirement {
  providers: CompiledProvider[];
  allowMissing: boolean;
  allowFailed: boolean;
}

export interface JwtEnv {
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Throws ConfigFault for what is not a JWT-SVID provider: one without audiences or local keys. */
export function createJwtAuthnFilter(config: JwtAuthentication, env: JwtEnv): HttpFilter {
  const providers = new Map<string, CompiledProvider>();
  for (const [name, provider] of Object.entries(config.providers ?? {}))
    providers.set(name, compileProvider(provider, `providers["${name}"]`, env));
  const rules = (config.rules ?? []).map((rule, i) => ({
    prefix: rule.match?.prefix ?? '/',
    requirement: rule.requires && compileRequirement(rule.requires, providers, `rules[${i}].requires`),
  }));
  return {
    name: NAME,
    onRequest: (request) => {
      for (const { prefix, requirement } of rules)
        if (request.path.startsWith(prefix)) return requirement ? judge(requirement, request) : undefined;
      return undefined;
    },
  };
}

/** Asks no promise of a request without a token. */
function judge(requirement: Requirement, request: RequestContext): Verdict | Promise<Verdict> {
  for (const provider of requirement.providers) {
    const token = provider.token(request);
    if (token !== undefined) return verify(requirement, request, 0);
  }
  return requirement.allowMissing ? undefined : denial('Jwt is missing', false);
}

/** Any provider that accepts its token lets the request through. */
async function verify(requirement: Requirement, request: RequestContext, from: number): Promise<Verdict> {
  for (const provider of requirement.providers.slice(from)) {
    const token = provider.token(request);
    if (token === undefined) continue;
    try {
      const verified = await provider.verify(token);
      accept(provider, verified, request);
      return undefined;
    } catch (error) {
      if (!(error instanceof JwtSvidError)) throw error;
    }
  }
  return requirement.allowFailed ? undefined : denial('Jwt verification fails', true);
}

function accept(provider: CompiledProvider, verified: VerifiedJwtSvid, request: RequestContext): void {
  request.tokenPrincipal = verified.spiffeId;
  provider.strip(request);
  if (provider.payloadKey === undefined) return;
  request.metadata ??= {};
  const payload = { sub: verified.spiffeId, aud: verified.audience, exp: verified.expires / 1000 };
  (request.metadata[NAME] ??= {})[provider.payloadKey] = payload;
}

function denial(reason: string, invalid: boolean): LocalReply {
  return {
    status: 401,
    body: reason,
    details: `jwt_authn_access_denied{${reason.replaceAll(' ', '_')}}`,
    headers: { 'www-authenticate': invalid ? 'Bearer error="invalid_token"' : 'Bearer' },
    flag: 'UAEX',
  };
}

function compileProvider(provider: Provider, path: string, env: JwtEnv): CompiledProvider {
  const [audience, ...others] = provider.audiences ?? [];
  // Without an audience a token made for anyone would prove an identity here.
  if (!audience || others.length > 0) throw new ConfigFault(`${path}.audiences`, 'must name exactly one audience');
  const verifier = createJwtSvidVerifier(parseKeys(provider, `${path}.localJwks`));
  const sources = (provider.fromHeaders ?? []).map((one) => ({
    key: (one.name ?? '').toLowerCase(),
    prefix: one.valuePrefix ?? '',
  }));
  if (sources.length === 0) sources.push({ key: 'authorization', prefix: 'Bearer ' });
  return {
    token: (request) => {
      for (const { key, prefix } of sources) {
        const value = request.headers.joined(key);
        if (value?.startsWith(prefix)) return value.slice(prefix.length).trim();
      }
      return undefined;
    },
    verify: (token) =>
      verifier(token, audience, { now: env.now(), ...(provider.issuer && { issuer: provider.issuer }) }),
    strip: (request) => {
      if (provider.forward) return;
      for (const { key, prefix } of sources)
        if (request.headers.joined(key)?.startsWith(prefix)) request.headers.remove(key);
    },
    payloadKey: provider.payloadInMetadata || undefined,
  };
}

function parseKeys(provider: Provider, path: string): Parameters<typeof createJwtSvidVerifier>[0] {
  const text = provider.localJwks?.inlineString;
  if (text === undefined) throw new ConfigFault(path, 'must have the keys as inlineString');
  try {
    const keys: unknown = JSON.parse(text);
    if (typeof keys === 'object' && keys !== null && Array.isArray((keys as { keys?: unknown }).keys))
      return keys as never;
  } catch {
    // Fall through: the text itself must not get into the fault.
  }
  throw new ConfigFault(path, 'is not a JSON Web Key Set');
}

/** `providerName`, `allowMissing`, `allowMissingOrFailed`, or `requiresAny` of these. */
function compileRequirement(
  requires: Record<string, unknown>,
  providers: Map<string, CompiledProvider>,
  path: string,
): Requirement {
  const out: Requirement = { providers: [], allowMissing: false, allowFailed: false };
  for (const [key, value] of Object.entries(requires)) {
    const field = jsonName(key);
    if (field === 'providerName') {
      const provider = providers.get(String(value));
      if (!provider) throw new ConfigFault(`${path}.providerName`, `there is no provider "${String(value)}"`);
      out.providers.push(provider);
    } else if (field === 'allowMissing') out.allowMissing = true;
    else if (field === 'allowMissingOrFailed') out.allowMissing = out.allowFailed = true;
    else if (field === 'requiresAny') {
      const list = (value as { requirements?: Record<string, unknown>[] } | null)?.requirements ?? [];
      for (const [i, one] of list.entries()) {
        const inner = compileRequirement(one, providers, `${path}.requiresAny.requirements[${i}]`);
        out.providers.push(...inner.providers);
        out.allowMissing ||= inner.allowMissing;
        out.allowFailed ||= inner.allowFailed;
      }
    } else throw new ConfigFault(`${path}.${field}`, 'is not supported');
  }
  if (out.providers.length === 0) throw new ConfigFault(path, 'names no provider');
  return out;
}
