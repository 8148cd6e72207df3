/** The requirements of a jwt_authn filter as functions of a request (Envoy's Verifier). */
import type { JwtProvider, JwtRequirement } from '../../../../shared/xds/filters/jwt-authn.ts';
import { ConfigError } from '../../../config-error.ts';
import { onlyField } from '../../routing/metadata-matcher.ts';
import { compileLocations, type FindTokens, type FoundToken } from './locations.ts';
import { type AudienceCheck, audienceCheck, type Provider, type Run } from './provider.ts';
import { MISSING, OK, type Status, UNKNOWN_ISSUER } from './status.ts';
import { isStatus, parseToken } from './token.ts';

/** OK: the request satisfies it. No promise unless a signature has to be verified. */
export type Requirement = (run: Run) => Status | Promise<Status>;

export interface NamedProvider {
  readonly provider: Provider;
  readonly config: JwtProvider;
}
export type Providers = ReadonlyMap<string, NamedProvider>;

/** @throws ConfigError naming the field */
export function compileRequirement(requirement: JwtRequirement, providers: Providers, path: string): Requirement {
  // As in Envoy: what is not set requires nothing.
  if (Object.values(requirement).every((value) => value === undefined)) return () => OK;
  const field = onlyField(requirement, path);
  const at = `${path}.${field}`;
  switch (field) {
    case 'providerName':
      return ofProvider(requirement.providerName!, providers, undefined, at);
    case 'providerAndAudiences': {
      const { providerName, audiences = [] } = requirement.providerAndAudiences!;
      const check = audiences.length > 0 ? audienceCheck(audiences) : undefined;
      return ofProvider(providerName, providers, check, `${at}.providerName`);
    }
    case 'requiresAny':
      return anyOf(listOf(requirement.requiresAny, at), providers, `${at}.requirements`);
    case 'requiresAll': {
      const all = listOf(requirement.requiresAll, at);
      return allOf(all.map((one, i) => compileRequirement(one, providers, `${at}.requirements[${i}]`)));
    }
    default:
      return ofAnyProvider(providers, field === 'allowMissingOrFailed');
  }
}

function listOf(group: { requirements?: JwtRequirement[] } | undefined, path: string): JwtRequirement[] {
  const list = group?.requirements ?? [];
  if (list.length < 2) throw new ConfigError(`${path}.requirements`, 'must have at least 2 items');
  return list;
}

/** Every token at the provider's locations must be one that it accepts. */
function ofProvider(
  name: string,
  providers: Providers,
  audiences: AudienceCheck | undefined,
  path: string,
): Requirement {
  const named = providers.get(name);
  if (!named) throw new ConfigError(path, `there is no provider "${name}"`);
  const { provider, config } = named;
  const find = compileLocations([config]);
  const isOnly = providers.size === 1;
  const judge = (run: Run, found: FoundToken) => provider.judge(run, found, audiences);
  const report = (run: Run, status: Status): Status => {
    if (status !== OK && (status !== MISSING || isOnly)) provider.reportFailure(run, status);
    return status;
  };
  return (run) => {
    sanitize(run, provider.outputHeaders);
    const tokens = find(run.request);
    const status = tokens.length === 0 ? MISSING : judgeAll(run, tokens, tokens.length - 1, judge);
    return status instanceof Promise ? status.then((settled) => report(run, settled)) : report(run, status);
  };
}

type Judge = (run: Run, found: FoundToken) => Status | Promise<Status>;

/** The last token first, up to one that is refused. */
function judgeAll(run: Run, tokens: readonly FoundToken[], last: number, judge: Judge): Status | Promise<Status> {
  for (let i = last; i >= 0; i--) {
    const status = judge(run, tokens[i]!);
    if (status instanceof Promise)
      return status.then((settled) => (settled === OK ? judgeAll(run, tokens, i - 1, judge) : settled));
    if (status !== OK) return status;
  }
  return OK;
}

/**
 * `allow_missing` and `allow_missing_or_failed` outside `requires_any`: whatever token any of the providers finds is judged by
 * the provider of its issuer. Where failures are allowed, those that are accepted count, and nothing else does.
 */
function ofAnyProvider(providers: Providers, allowsFailure: boolean): Requirement {
  const all = [...providers.values()];
  const find: FindTokens = compileLocations(all.map(({ config }) => config));
  const outputs = all.flatMap(({ provider }) => provider.outputHeaders);
  const byIssuer = new Map(all.toReversed().map(({ provider }) => [provider.issuer, provider]));
  const judge = (run: Run, found: FoundToken): Status | Promise<Status> => {
    const token = parseToken(found.text);
    if (isStatus(token)) return token;
    const { iss } = token.claims;
    const provider = byIssuer.get(iss) ?? byIssuer.get('');
    if (!provider || (found.issuers && !found.issuers.has(iss))) return UNKNOWN_ISSUER;
    const status = provider.judgeToken(run, found, token, undefined);
    const report = (settled: Status) => {
      if (settled !== OK) provider.reportFailure(run, settled);
      return settled;
    };
    return status instanceof Promise ? status.then(report) : report(status);
  };
  return (run) => {
    sanitize(run, outputs);
    const tokens = find(run.request);
    if (tokens.length === 0) return OK;
    if (!allowsFailure) return judgeAll(run, tokens, tokens.length - 1, judge);
    return judgeEach(run, tokens, judge);
  };
}

async function judgeEach(run: Run, tokens: readonly FoundToken[], judge: Judge): Promise<Status> {
  for (const found of tokens.toReversed()) await judge(run, found);
  return OK;
}

function sanitize({ request }: Run, headers: readonly string[]): void {
  for (const key of headers) request.headers.remove(key);
}

/**
 * In their order, up to the first that is satisfied. `allow_missing` and `allow_missing_or_failed` among them say what becomes
 * of a request that satisfies none.
 */
function anyOf(list: readonly JwtRequirement[], providers: Providers, path: string): Requirement {
  const allowsFailure = list.some((one) => one.allowMissingOrFailed !== undefined);
  const allowsMissing = list.some((one) => one.allowMissing !== undefined);
  const others = list.flatMap((one, i) =>
    one.allowMissingOrFailed || one.allowMissing ? [] : compileRequirement(one, providers, `${path}[${i}]`),
  );
  if (others.length === 0) return ofAnyProvider(providers, allowsFailure);
  const conclude = (status: Status): Status => (allowsFailure || (allowsMissing && status === MISSING) ? OK : status);
  const from = (run: Run, first: number, reason: Status): Status | Promise<Status> => {
    let worst = reason;
    for (let i = first; i < others.length; i++) {
      const status = others[i]!(run);
      if (status instanceof Promise)
        return status.then((settled) => (settled === OK ? OK : from(run, i + 1, worse(worst, settled))));
      if (status === OK) return OK;
      worst = worse(worst, status);
    }
    return conclude(worst);
  };
  return (run) => from(run, 0, MISSING);
}

/** A later reason counts more, but that there is no token, or one of another issuer, says least. */
function worse(known: Status, next: Status): Status {
  return (next !== MISSING && next !== UNKNOWN_ISSUER) || known === MISSING ? next : known;
}

function allOf(list: readonly Requirement[]): Requirement {
  const from = (run: Run, first: number): Status | Promise<Status> => {
    for (let i = first; i < list.length; i++) {
      const status = list[i]!(run);
      if (status instanceof Promise) return status.then((settled) => (settled === OK ? from(run, i + 1) : settled));
      if (status !== OK) return status;
    }
    return OK;
  };
  return (run) => from(run, 0);
}
