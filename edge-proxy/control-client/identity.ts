/**
 * The proxy's identity over its life: join once with a token, keep key and certificate on disk, renew at half life with
 * the certificate held, rejoin with it after it has expired, notify subscribers. The private key is made here and never leaves.
 */

import * as z from 'zod';
import { decodeCertificates } from '../../shared/identity/certificate.ts';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { renewAt } from '../../shared/identity/svid-identity.ts';
import type { LogLevel } from '../../shared/log/log.ts';
import type { Clock, Files, KeyPair } from '../runtime/runtime.ts';
import { readRoots } from '../x509/trusted-path.ts';
import { Backoff } from './backoff.ts';
import { checkIdentity, type Identity, IdentityStore } from './identity-store.ts';
import { rejoin } from './rejoin.ts';

export type { Identity } from './identity-store.ts';

/** One JSON exchange with the control API; any status is an answer, an unreachable server rejects with a one-line message. */
export type IdentityRequest = (
  method: string,
  path: string,
  body: unknown,
  identity?: KeyPair,
) => Promise<{ status: number; body: unknown }>;

export interface IdentityClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once, after `milliseconds`. @returns cancel */
  after(milliseconds: number, callback: () => void): () => void;
}

export interface IdentityOptions {
  files: Files;
  /** Folder of `identity.json`. */
  folder: string;
  request: IdentityRequest;
  clock: IdentityClock;
  /** One-time join token, needed when the disk holds no valid identity. */
  joinToken?: string;
  /** Life time to ask for; default the authority's. */
  ttlSeconds?: number;
  /** 0 up to 1, for jitter. */
  random: () => number;
  log?: (line: string, level?: LogLevel) => void;
}

export type IdentityErrorCode = 'token-needed' | 'refused' | 'bad-answer' | 'stopped';

/** The proxy cannot have an identity, and trying again would not help. One line, with the way out. */
export class IdentityError extends Error {
  override name = 'IdentityError';
  readonly code: IdentityErrorCode;
  constructor(code: IdentityErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const Answer = z.object({ certificateChain: z.string(), trustBundle: z.string() });
/** The least time between two renewals, regardless of clocks. */
const MIN_RENEWAL_MS = 1000;
const MAX_TIMER_MS = 24 * 3_600_000;
/** A renewed certificate that the disk does not take is not used while more than this part of the old one's life is left. */
const UNSAVED_PART = 0.2;

/** Timers of the runtime at the times of its clock. */
export function identityClock(clock: Pick<Clock, 'now'>): IdentityClock {
  return {
    now: () => clock.now(),
    after(milliseconds, callback) {
      const timer = setTimeout(callback, milliseconds);
      return () => clearTimeout(timer);
    },
  };
}

export class IdentityManager {
  readonly #options: IdentityOptions;
  readonly #clock: IdentityClock;
  readonly #random: () => number;
  readonly #log: (line: string, level?: LogLevel) => void;
  readonly #store: IdentityStore;
  readonly #backoff: Backoff;
  readonly #subscribers = new Set<(identity: Identity) => void>();
  #current: Identity | undefined;
  /** Roots that came since the last request for a certificate: newer than those of its answer. */
  #pushedRoots: string | undefined;
  /** What the disk is to have: the current identity, or the one that is to replace it. */
  #newest: Identity | undefined;
  #saving: Promise<void> = Promise.resolve();
  #renewAt = 0;
  #cancelTimer: (() => void) | undefined;
  #renewing: Promise<void> | undefined;
  #stop = Promise.withResolvers<never>();
  #stopped = false;

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log ?? (() => {});
    this.#store = new IdentityStore(options.files, options.folder);
    this.#backoff = new Backoff(this.#random, 500, 30_000);
    this.#stop.promise.catch(() => {});
  }

  /** What is held now; undefined before `start` has resolved. It may have expired while the control plane was away. */
  get current(): Identity | undefined {
    return this.#current;
  }

  /** What may be presented: undefined without an identity, and after it has expired. */
  get keyPair(): KeyPair | undefined {
    return this.#current && !this.#hasExpired(this.#current) ? this.#current.keyPair : undefined;
  }

  /**
   * The mesh has other roots.
   * @param trustBundle PEM
   * @throws Error in one line where it cannot be read: the roots before stay in force
   */
  async trust(trustBundle: string): Promise<void> {
    const held = this.#current;
    if (!held || held.trustBundle === trustBundle) return;
    try {
      decodeCertificates(trustBundle);
      readRoots(trustBundle);
    } catch (error) {
      throw new Error(`identity: the roots of the mesh cannot be used: ${(error as Error).message}`);
    }
    this.#pushedRoots = trustBundle;
    this.#newest ??= held;
    await this.#save().catch((error: Error) =>
      this.#log(`identity: the mesh's roots are not kept on disk: ${error.message}`),
    );
    this.#use(this.#current ?? held);
    this.#log('identity: the mesh has other roots now', 'info');
  }

  /** Called on each rotation, not for what is held already. @returns unsubscribe */
  subscribe(changed: (identity: Identity) => void): () => void {
    this.#subscribers.add(changed);
    return () => this.#subscribers.delete(changed);
  }

  /**
   * Resolves once there is an identity: the one on disk, without a request; where it has expired, by rejoining; else by joining.
   * An unreachable control plane is tried again until it answers.
   * @throws IdentityError when the token is missing or refused
   */
  async start(): Promise<Identity> {
    const held = await this.#load();
    if (held && !this.#hasExpired(held)) {
      if (this.#options.joinToken !== undefined)
        this.#log(`identity: ${held.spiffeId} from disk, join token not used`, 'info');
      this.#accept(held);
      return held;
    }
    if (held) {
      // Its roots verify the control plane.
      this.#current = held;
      const back = await this.#rejoined(held);
      this.#current = undefined;
      if (back) return this.#began(back);
    }
    return this.#began(await this.#untilAnswered('not joined yet', () => this.#obtain(undefined)));
  }

  /** @returns undefined: refused, and there is a join token to use instead @throws IdentityError when there is none */
  async #rejoined(held: Identity): Promise<Identity | undefined> {
    const ended = `${held.spiffeId} expired at ${new Date(held.notAfter).toISOString()}`;
    try {
      const back = await this.#untilAnswered(`${ended}, not back yet`, () => this.#obtain(held));
      this.#log(`identity: ${ended}, and is renewed`, 'info');
      return back;
    } catch (error) {
      if (!(error instanceof IdentityError) || error.code === 'stopped') throw error;
      const reason = `${ended} and is not renewed: ${withoutPrefix(error)}`;
      if (this.#options.joinToken === undefined) throw new IdentityError('refused', `identity: ${reason}; ${REMEDY}`);
      this.#log(`identity: ${reason}; joining with the token`);
      return undefined;
    }
  }

  async #began(identity: Identity): Promise<Identity> {
    this.#newest = identity;
    await this.#save().catch((error: Error) =>
      this.#log(`identity: not kept on disk, a restart will need a join token: ${error.message}`),
    );
    this.#accept(identity);
    return identity;
  }

  /** @throws IdentityError when an answer is final */
  async #untilAnswered(what: string, obtain: () => Promise<Identity>): Promise<Identity> {
    for (;;) {
      if (this.#stopped) throw new IdentityError('stopped', 'identity: stopped before joining');
      try {
        return await obtain();
      } catch (error) {
        if (error instanceof IdentityError) throw error;
        const wait = this.#backoff.next();
        this.#log(`identity: ${what}: ${(error as Error).message}; next attempt in ${seconds(wait)}`);
        await this.#wait(wait);
      }
    }
  }

  #hasExpired({ notAfter }: Identity): boolean {
    return this.#clock.now() > notAfter;
  }

  /** Renews now, as the timer does; several callers share one renewal. Failures are logged and tried again later. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renewOnce().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** Stops renewing; what is held stays readable. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#stop.reject(new IdentityError('stopped', 'identity: stopped before joining'));
  }

  async #load(): Promise<Identity | undefined> {
    const { path } = this.#store;
    let reason = `no certificate in ${path}`;
    try {
      const held = await this.#store.load(this.#clock.now());
      if (held) return held;
    } catch (error) {
      reason = `${path} cannot be used: ${(error as Error).message}`;
      this.#log(`identity: ${reason}`);
    }
    if (this.#options.joinToken !== undefined) return undefined;
    throw new IdentityError('token-needed', `identity: ${reason}; ${REMEDY}`);
  }

  /**
   * Asks for a certificate on a fresh key: with `held` by the certificate in hand, or by its key where it has expired; else with
   * the join token.
   */
  async #obtain(held: Identity | undefined): Promise<Identity> {
    const { request, joinToken, ttlSeconds } = this.#options;
    const keys = await generateKeys();
    this.#pushedRoots = undefined;
    const csr = await createCsr(keys, held?.spiffeId);
    const proof = held ? {} : { token: joinToken };
    const body = { csr, ...proof, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) };
    const answer =
      held && this.#hasExpired(held)
        ? await rejoin(request, held.keyPair, csr, ttlSeconds)
        : await request('POST', '/v1/certificates', body, held?.keyPair);
    if (answer.status !== 200) throw refusal(answer);
    const parsed = Answer.safeParse(answer.body);
    if (!parsed.success)
      throw new IdentityError('bad-answer', 'identity: the control plane gave no certificate in its answer');
    const { certificateChain, trustBundle } = parsed.data;
    const privateKey = await exportPrivateKey(keys.privateKey);
    const issued = await checkIdentity({ certificateChain, privateKey }, trustBundle, this.#clock.now()).catch(
      (error: Error) => {
        throw new IdentityError('bad-answer', `identity: the certificate issued cannot be used: ${error.message}`);
      },
    );
    if (held && issued.spiffeId !== held.spiffeId) {
      throw new IdentityError('bad-answer', `identity: requested ${held.spiffeId}, was issued ${issued.spiffeId}`);
    }
    return issued;
  }

  /** One save after the other: each writes what is newest when its turn comes. */
  #save(): Promise<void> {
    const save = () => this.#store.save(this.#withRoots(this.#newest!));
    this.#saving = this.#saving.then(save, save);
    return this.#saving;
  }

  #withRoots(identity: Identity): Identity {
    const trustBundle = this.#pushedRoots ?? identity.trustBundle;
    return trustBundle === identity.trustBundle ? identity : { ...identity, trustBundle };
  }

  /**
   * Disk first: what was presented once must survive a restart, since the certificate before is superseded then and would revoke
   * the join. A disk that fails delays a rotation until little is left of the old certificate.
   */
  async #keep(identity: Identity, before: Identity): Promise<void> {
    this.#newest = identity;
    try {
      await this.#save();
    } catch (error) {
      this.#newest = before;
      const left = before.notAfter - this.#clock.now();
      const reason = `not kept on disk: ${(error as Error).message}`;
      if (left > (before.notAfter - before.notBefore) * UNSAVED_PART) throw new Error(reason);
      this.#log(`identity: ${reason}; a restart will need a new invitation`);
    }
    this.#accept(identity);
  }

  #accept(identity: Identity): void {
    this.#backoff.reset();
    this.#renewAt = renewAt(identity, this.#clock.now(), this.#random());
    this.#schedule(Math.max(this.#renewAt - this.#clock.now(), MIN_RENEWAL_MS));
    this.#use(identity);
  }

  #use(taken: Identity): void {
    const rotated = this.#current !== undefined;
    const identity = this.#withRoots(taken);
    this.#newest = identity;
    this.#current = identity;
    if (!rotated) return;
    for (const changed of this.#subscribers) {
      try {
        changed(identity);
      } catch (error) {
        this.#log(`identity: a user of the certificate did not take the new one: ${(error as Error).message}`);
      }
    }
  }

  #schedule(wait: number): void {
    this.#cancelTimer?.();
    if (this.#stopped) return;
    this.#cancelTimer = this.#clock.after(Math.min(wait, MAX_TIMER_MS), () => {
      // Timers are bounded and a machine may have slept: the wall clock decides.
      const left = this.#renewAt - this.#clock.now();
      if (left > 0) this.#schedule(left);
      else void this.renew();
    });
  }

  async #renewOnce(): Promise<void> {
    const held = this.#current;
    if (!held || this.#stopped) return;
    try {
      const stored = await this.#renewedElsewhere(held);
      if (stored) this.#accept(stored);
      else {
        const renewed = await this.#obtain(held);
        if (!this.#stopped) await this.#keep(renewed, held);
      }
    } catch (error) {
      // Several attempts before it expires, however short its life is.
      const left = held.notAfter - this.#clock.now();
      const backoff = this.#backoff.next();
      const wait = left > 0 ? Math.min(backoff, Math.max(left / 4, MIN_RENEWAL_MS)) : backoff;
      this.#log(`${this.#failure(held, error as Error)}; next attempt in ${seconds(wait)}`);
      this.#renewAt = 0;
      this.#schedule(wait);
    }
  }

  /** Another process with the same folder, as before and after an upgrade, has renewed: `held` is superseded then. */
  async #renewedElsewhere({ spiffeId, keyPair, notAfter }: Identity): Promise<Identity | undefined> {
    const stored = await this.#store.load(this.#clock.now()).catch(() => undefined);
    if (!stored || stored.spiffeId !== spiffeId || stored.notAfter <= notAfter) return undefined;
    return stored.keyPair.certificateChain === keyPair.certificateChain ? undefined : stored;
  }

  #failure(held: Identity, error: Error): string {
    const reason = withoutPrefix(error);
    const remedy = error instanceof IdentityError && !reason.includes('"tulle ') ? `; ${REMEDY}` : '';
    const until = new Date(held.notAfter).toISOString();
    return this.#clock.now() > held.notAfter
      ? `identity: ${held.spiffeId} expired at ${until} and is not renewed yet: ${reason}${remedy}`
      : `identity: ${held.spiffeId} not renewed yet, valid until ${until}: ${reason}${remedy}`;
  }

  #wait(milliseconds: number): Promise<void> {
    const elapsed = new Promise<void>((resolve) => {
      this.#cancelTimer = this.#clock.after(milliseconds, resolve);
    });
    return Promise.race([elapsed, this.#stop.promise]);
  }
}

const REMEDY = 'join with a new invitation ("tulle join") or join token ("tulle token create")';

const withoutPrefix = ({ message }: Error): string => message.replace(/^identity: /, '');

/** 4xx will not change by asking again, except "too early", "too many" and a timeout; the rest is worth another attempt. */
function refusal(answer: { status: number; body: unknown }): Error {
  const { status, body } = answer;
  const message = (body as { message?: unknown } | undefined)?.message;
  const detail = typeof message === 'string' ? message.replace(/\s+/g, ' ').slice(0, 300) : `status ${status}`;
  const text = `identity: the control plane refused a certificate: ${detail}`;
  const final = status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
  return final ? new IdentityError('refused', text) : new Error(text);
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
