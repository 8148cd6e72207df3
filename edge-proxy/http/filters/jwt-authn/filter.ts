/**
 * envoy.filters.http.jwt_authn for JWT-SVIDs: a workload that cannot present a client certificate proves its SPIFFE id
 * by a token (shared/identity/jwt-svid.ts). Key sets are local; a new one comes as new config.
 */
import {
  createJwtSvidVerifier,
  JwtSvidError,
  type JwtSvidErrorCode,
  type VerifiedJwtSvid,
} from '../../../../shared/identity/jwt-svid.ts';
import { checkTrustDomain } from '../../../../shared/identity/spiffe.ts';
import type { JwtAuthentication } from '../../../../shared/xds/http-filters.ts';
import { jsonName } from '../../../../shared/xds/message.ts';
import { ConfigFault, faultAt } from '../../../config-error.ts';
import type { LocalReply, RequestContext } from '../../stream.ts';
import type { FilterEnv } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';

/** A token is refused, or not. */
type Verdict = LocalReply | undefined;

const NAME = 'envoy.filters.http.jwt_authn';
type Provider = NonNullable<JwtAuthentication['providers']>[string];

interface CompiledProvider {
  /** The token this provider reads, undefined when the request has none. */
  token(request: RequestContext): string | undefined;
  verify(token: string): Promise<VerifiedJwtSvid>;
  /** The headers that may hold its token. */
  sources: readonly TokenSource[];
  /** The token stays in the request. */
  forward: boolean;
  issuer: string;
  /** A token of this provider is an identity of the mesh. */
  identifies: boolean;
  payloadKey: string | undefined;
}
interface TokenSource {
  key: string;
  prefix: string;
}
interface Requirement {
  providers: CompiledProvider[];
  allowMissing: boolean;
  allowFailed: boolean;
}

/** Where this proxy's trust domain is known, a token of another one proves no principal here. */
export type JwtEnv = Pick<FilterEnv, 'now' | 'trustDomain'>;

/**
 * Throws ConfigFault for what is not a JWT-SVID provider: one without issuer, audience, local keys, or a trust domain
 * (`subjects.prefix` as Envoy documents it for SPIFFE: `spiffe://<trust domain>/`).
 */
export function createJwtAuthnFilter(config: JwtAuthentication, env: JwtEnv): FilterHooks {
  const providers = new Map<string, CompiledProvider>();
  for (const [name, provider] of Object.entries(config.providers ?? {}))
    providers.set(name, compileProvider(provider, `providers["${name}"]`, env));
  const rules = (config.rules ?? []).map((rule, i) => ({
    prefix: rule.match?.prefix || '/',
    requirement: rule.requires && compileRequirement(rule.requires, providers, `rules[${i}].requires`),
  }));
  return {
    onRequestHead: ({ request }) => {
      // `/` means every request, OPTIONS * and CONNECT too, whose path has no slash.
      for (const { prefix, requirement } of rules)
        if (prefix === '/' || request.path.startsWith(prefix))
          return requirement ? judge(requirement, request) : undefined;
      return undefined;
    },
  };
}

/** Asks no promise of a request without a token. */
function judge(requirement: Requirement, request: RequestContext): Verdict | Promise<Verdict> {
  for (const provider of requirement.providers) {
    const token = provider.token(request);
    if (token !== undefined) return verify(requirement, request);
  }
  return requirement.allowMissing ? undefined : denial(request, MISSING);
}

/** Any provider that accepts its token lets the request through. */
async function verify(requirement: Requirement, request: RequestContext): Promise<Verdict> {
  let reason = FAILED;
  for (const provider of requirement.providers) {
    const token = provider.token(request);
    if (token === undefined) continue;
    try {
      const verified = await provider.verify(token);
      accept(provider, verified, request);
      stripTokens(requirement, provider, request);
      return undefined;
    } catch (error) {
      if (!(error instanceof JwtSvidError)) throw error;
      // As in Envoy, the last provider that was asked says why.
      reason = isThreePart(token) ? (REASONS[error.code] ?? FAILED) : NO_JWT;
    }
  }
  return requirement.allowFailed ? undefined : denial(request, reason);
}

function accept(provider: CompiledProvider, verified: VerifiedJwtSvid, request: RequestContext): void {
  if (provider.identifies) request.tokenPrincipal = verified.spiffeId;
  if (provider.payloadKey === undefined) return;
  request.metadata ??= {};
  const { spiffeId: sub, audience: aud, expires } = verified;
  (request.metadata[NAME] ??= {})[provider.payloadKey] = { iss: provider.issuer, sub, aud, exp: expires / 1000 };
}

/** No token goes further, of whichever provider, unless the one that was believed is to be forwarded. */
function stripTokens({ providers }: Requirement, accepted: CompiledProvider, { headers }: RequestContext): void {
  for (const provider of providers) {
    if (provider.forward) continue;
    for (const { key, prefix } of provider.sources) {
      if (accepted.forward && accepted.sources.some((one) => one.key === key)) continue;
      if (headers.joined(key)?.startsWith(prefix)) headers.remove(key);
    }
  }
}

const MISSING = 'Jwt is missing';
const FAILED = 'Jwt verification fails';
const NO_JWT = 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections';
const WRONG_AUDIENCE = 'Audiences in Jwt are not allowed';
/** Envoy's words, where it has some for what is wrong. */
const REASONS: Partial<Record<JwtSvidErrorCode, string>> = {
  expired: 'Jwt is expired',
  'not-yet-valid': 'Jwt not yet valid',
  'wrong-issuer': 'Jwt issuer is not configured',
  'wrong-audience': WRONG_AUDIENCE,
  'unknown-key': "Jwks doesn't have key to match kid or alg from Jwt",
};
/** Of the request's URI, characters that the realm names. */
const MAX_REALM_PATH = 256;

function isThreePart(token: string): boolean {
  return /^[^.]+\.[^.]+\.[^.]+$/.test(token);
}

/** RFC 6750 section 3, with the URI that was asked for as the realm. */
function denial(request: RequestContext, reason: string): LocalReply {
  const path = request.path.slice(0, MAX_REALM_PATH).replace(/["\\]/g, encodeURIComponent);
  const error = reason === MISSING ? '' : ', error="invalid_token"';
  return {
    status: reason === WRONG_AUDIENCE ? 403 : 401,
    body: reason,
    details: `jwt_authn_access_denied{${reason.replaceAll(' ', '_')}}`,
    headers: { 'www-authenticate': `Bearer realm="${request.scheme}://${request.authority}${path}"${error}` },
  };
}

function compileProvider(provider: Provider, path: string, env: JwtEnv): CompiledProvider {
  const [audience, ...others] = provider.audiences ?? [];
  // Without an audience a token made for anyone would prove an identity here.
  if (!audience || others.length > 0) throw new ConfigFault(`${path}.audiences`, 'must name exactly one audience');
  const { issuer } = provider;
  if (!issuer) throw new ConfigFault(`${path}.issuer`, 'must be set');
  const trustDomain = trustDomainOf(provider, `${path}.subjects`);
  const verifier = createJwtSvidVerifier(parseKeys(provider, `${path}.localJwks`));
  const sources: TokenSource[] = (provider.fromHeaders ?? []).map((one) => ({
    key: (one.name ?? '').toLowerCase(),
    prefix: one.valuePrefix ?? '',
  }));
  if (sources.length === 0) sources.push({ key: 'authorization', prefix: 'Bearer ' });
  return {
    token: (request) => findToken(sources, request),
    verify: (token) => verifier(token, audience, { now: env.now(), issuer, trustDomain }),
    sources,
    forward: provider.forward ?? false,
    issuer,
    identifies: env.trustDomain === undefined || env.trustDomain === trustDomain,
    payloadKey: provider.payloadInMetadata || undefined,
  };
}

/** Two different tokens are none that could be believed: ''. */
function findToken(sources: readonly TokenSource[], { headers }: RequestContext): string | undefined {
  let found: string | undefined;
  for (const { key, prefix } of sources) {
    const value = headers.joined(key);
    if (!value?.startsWith(prefix)) continue;
    const token = value.slice(prefix.length).trim();
    if (found !== undefined && found !== token) return '';
    found = token;
  }
  return found;
}

/** The provider's keys vouch for one trust domain: whoever holds them must not name identities of another. */
function trustDomainOf({ subjects }: Provider, path: string): string {
  const [, trustDomain] = /^spiffe:\/\/([^/]+)\/$/.exec(subjects?.prefix ?? '') ?? [];
  if (!trustDomain || subjects?.ignoreCase)
    throw new ConfigFault(path, 'must be the prefix "spiffe://<trust domain>/"');
  return faultAt(`${path}.prefix`, () => checkTrustDomain(trustDomain));
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

/** One that names no provider would let every token through unread. */
function compileRequirement(
  requires: Record<string, unknown>,
  providers: Map<string, CompiledProvider>,
  path: string,
): Requirement {
  const requirement = readRequirement(requires, providers, path);
  if (requirement.providers.length === 0) throw new ConfigFault(path, 'names no provider');
  return requirement;
}

/** `providerName`, `allowMissing`, `allowMissingOrFailed`, or `requiresAny` of these. */
function readRequirement(
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
        const inner = readRequirement(one, providers, `${path}.requiresAny.requirements[${i}]`);
        out.providers.push(...inner.providers);
        out.allowMissing ||= inner.allowMissing;
        out.allowFailed ||= inner.allowFailed;
      }
    } else throw new ConfigFault(`${path}.${field}`, 'is not supported');
  }
  return out;
}
