/** One provider of a jwt_authn filter: which tokens it accepts, and what an accepted one does to the request. */
import { type Key, parseKeySet } from '../../../../shared/jwt/key-set.ts';
import type { JwtProvider } from '../../../../shared/xds/filters/jwt-authn.ts';
import { ConfigError } from '../../../config-error.ts';
import type { RequestContext } from '../../request/request-context.ts';
import { compileStringMatcher, type TextMatch } from '../../routing/matchers.ts';
import { KeySet } from './key-set.ts';
import type { FoundToken } from './locations.ts';
import { compileOutputs, type MakeOutputs, type Metadata, type Outputs, outputHeaders } from './outputs.ts';
import type { JwtStats } from './stats.ts';
import {
  AUDIENCE_NOT_ALLOWED,
  EXPIRED,
  NOT_YET_VALID,
  OK,
  type Status,
  UNKNOWN_ISSUER,
  VERIFICATION_FAILED,
} from './status.ts';
import { type Claims, isStatus, parseToken, type Token } from './token.ts';
import { TokenCache } from './token-cache.ts';

/** Seconds that clocks may differ by where the provider names none, as in Envoy. */
const CLOCK_SKEW = 60;

/** A request on its way through the filter. */
export interface Run {
  readonly request: RequestContext;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** What goes into the filter's dynamic metadata. */
  metadata: Record<string, unknown> | undefined;
  /** A token that routes may ask for was accepted. */
  choosesRoute: boolean;
}

export type AudienceCheck = (audiences: readonly string[]) => boolean;

/** What a token of JWT-SVIDs says of its sender; undefined: it is none. */
export type PrincipalOf = (token: Token) => { readonly principal: string | undefined } | undefined;

interface Verified {
  readonly claims: Claims;
  readonly outputs: Outputs;
  /** The SPIFFE id that the token proves. */
  readonly principal: string | undefined;
}

export class Provider {
  readonly issuer: string;
  /** Lower-case names of the headers that only its tokens may set. */
  readonly outputHeaders: readonly string[];
  private readonly audiences: AudienceCheck;
  private readonly subject: TextMatch | undefined;
  private readonly clockSkew: number;
  /** Seconds that a token may have left; undefined: any number, and it need not expire. */
  private readonly maxLifetime: number | undefined;
  private readonly keys: KeySet;
  private readonly cache: TokenCache<Verified>;
  private readonly outputsOf: MakeOutputs;
  private readonly forward: boolean;
  private readonly choosesRoute: boolean;
  private readonly writesPayload: boolean;
  private readonly failureKey: string;
  private readonly stats: Pick<JwtStats, 'cacheHit' | 'cacheMiss'>;
  private readonly principalOf: PrincipalOf | undefined;

  /**
   * @param principalOf its tokens are JWT-SVIDs
   * @throws ConfigError naming the field
   */
  constructor(
    config: JwtProvider,
    path: string,
    stats: Pick<JwtStats, 'cacheHit' | 'cacheMiss'>,
    principalOf?: PrincipalOf,
  ) {
    this.stats = stats;
    this.issuer = config.issuer ?? '';
    this.outputHeaders = outputHeaders(config, path);
    this.audiences = audienceCheck(config.audiences ?? []);
    this.subject = config.subjects && compileStringMatcher(config.subjects, `${path}.subjects`, 'text');
    this.clockSkew = config.clockSkewSeconds || (principalOf ? 0 : CLOCK_SKEW);
    this.principalOf = principalOf;
    this.maxLifetime = maxLifetimeOf(config);
    this.keys = new KeySet(keysOf(config, `${path}.localJwks`));
    this.cache = new TokenCache(config.jwtCacheConfig?.jwtCacheSize ?? 0);
    this.outputsOf = compileOutputs(config);
    this.forward = config.forward ?? false;
    this.choosesRoute = config.clearRouteCache ?? false;
    this.writesPayload = Boolean(config.payloadInMetadata);
    this.failureKey = config.failedStatusInMetadata ?? '';
  }

  /**
   * Judges one token, and where it is accepted changes the request. A token that was verified before is answered at once:
   * only its signature is not verified again.
   * @param audiences those to check instead of the provider's
   */
  judge(run: Run, found: FoundToken, audiences: AudienceCheck | undefined): Status | Promise<Status> {
    const known = this.cache.get(found.text);
    if (known) {
      this.stats.cacheHit.value++;
      const status = this.judgeClaims(known.claims, found, audiences, run.now);
      if (status === OK) return this.accept(run, found, known);
      if (status === EXPIRED) this.cache.delete(found.text);
      return status;
    }
    this.stats.cacheMiss.value++;
    const token = parseToken(found.text);
    return isStatus(token) ? token : this.judgeToken(run, found, token, audiences);
  }

  /** The same, of a token that was taken apart already. */
  judgeToken(
    run: Run,
    found: FoundToken,
    token: Token,
    audiences: AudienceCheck | undefined,
  ): Status | Promise<Status> {
    const status = this.judgeClaims(token.claims, found, audiences, run.now);
    return status === OK ? this.verify(run, found, token) : status;
  }

  /** @param status why a token was not accepted, or that there is none */
  reportFailure(run: Run, { code, text }: Status): void {
    if (this.failureKey === '') return;
    run.metadata ??= {};
    run.metadata[this.failureKey] = { code, message: text };
  }

  private async verify(run: Run, found: FoundToken, token: Token): Promise<Status> {
    const status = await this.keys.verify(token);
    if (status !== OK) return status;
    const identity = this.principalOf?.(token);
    if (this.principalOf && !identity) return VERIFICATION_FAILED;
    const verified = { claims: token.claims, outputs: this.outputsOf(token), principal: identity?.principal };
    this.cache.set(found.text, verified);
    return this.accept(run, found, verified);
  }

  private judgeClaims(
    claims: Claims,
    { issuers }: FoundToken,
    audiences: AudienceCheck | undefined,
    nowMs: number,
  ): Status {
    const { iss, sub, nbf, exp } = claims;
    if (issuers && !issuers.has(iss)) return UNKNOWN_ISSUER;
    const now = Math.floor(nowMs / 1000);
    if (now + this.clockSkew < nbf) return NOT_YET_VALID;
    if (exp !== undefined && now > exp + this.clockSkew) return EXPIRED;
    if (!(audiences ?? this.audiences)(claims.audiences)) return AUDIENCE_NOT_ALLOWED;
    if (this.subject && !this.subject(sub)) return VERIFICATION_FAILED;
    return this.lifetimeFits(exp, nowMs) ? OK : VERIFICATION_FAILED;
  }

  private lifetimeFits(exp: number | undefined, nowMs: number): boolean {
    return this.maxLifetime === undefined || (exp !== undefined && exp - nowMs / 1000 < this.maxLifetime);
  }

  private accept(run: Run, found: FoundToken, { outputs: { headers, metadata }, principal }: Verified): Status {
    const { request } = run;
    if (principal !== undefined) {
      // Two tokens that prove different identities prove none.
      if ((request.tokenPrincipal ?? principal) !== principal) return VERIFICATION_FAILED;
      request.tokenPrincipal = principal;
    }
    for (const [key, value] of headers) request.headers.append(key, value, key);
    if (!this.forward) found.remove(request);
    if (metadata) run.metadata = addTo(run.metadata, metadata);
    if (this.choosesRoute && (headers.length > 0 || this.writesPayload)) run.choosesRoute = true;
    return OK;
  }
}

function addTo(all: Record<string, unknown> | undefined, more: Metadata): Record<string, unknown> {
  return all ? Object.assign(all, more) : { ...more };
}

/** `max_lifetime` outweighs `require_expiration`. */
function maxLifetimeOf({ maxLifetime, requireExpiration }: JwtProvider): number | undefined {
  if (maxLifetime !== undefined) return Number.parseFloat(maxLifetime);
  return requireExpiration ? Number.POSITIVE_INFINITY : undefined;
}

/** @throws ConfigError where there is no usable key: no token could be accepted. The text of the keys is in no error. */
function keysOf({ localJwks }: JwtProvider, path: string): readonly Key[] {
  const keys = parseKeySet(keySetText(localJwks, path));
  if (keys.length === 0) throw new ConfigError(path, 'is no JSON Web Key Set with a key that is supported');
  return keys;
}

function keySetText(localJwks: JwtProvider['localJwks'], path: string): string {
  const { inlineString, inlineBytes } = localJwks ?? {};
  if (inlineString !== undefined) return inlineString;
  if (inlineBytes === undefined) throw new ConfigError(path, 'must have the keys as inlineString or inlineBytes');
  try {
    const bytes = Uint8Array.from(atob(inlineBytes), (character) => character.charCodeAt(0));
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigError(`${path}.inlineBytes`, 'must be UTF-8 text in base64');
  }
}

/** One of them is enough; none configured: any token passes. As in Envoy, scheme and final slash do not count. */
export function audienceCheck(configured: readonly string[]): AudienceCheck {
  if (configured.length === 0) return () => true;
  const wanted = new Set(configured.map(plainAudience));
  return (audiences) => {
    for (const one of audiences) if (wanted.has(plainAudience(one))) return true;
    return false;
  };
}

function plainAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, '').replace(/\/$/, '');
}
