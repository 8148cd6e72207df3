/** The worker's JWT-SVIDs: one to renew with, bound to the control plane; one bound to the gateways' audience. */
import * as z from 'zod';
import { controlPlaneAudience } from '../../../shared/identity/jwt-svid.ts';
import type { Post } from './control.ts';

interface Token {
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly renewAt: number;
  readonly expires: number;
}

const Issued = z.object({ token: z.string().min(1), expires: z.iso.datetime({ offset: true }) });

export interface WorkerIdentityOptions {
  readonly post: Post;
  readonly joinToken: string;
  readonly audience: string;
  /** Seconds. */
  readonly ttl: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class WorkerIdentity {
  private readonly options: WorkerIdentityOptions;
  private control: Token | undefined;
  private gateway: Token | undefined;

  constructor(options: WorkerIdentityOptions) {
    this.options = options;
  }

  /** The token that proves this worker at the gateway; undefined when there is none that is still valid. */
  get gatewayToken(): string | undefined {
    return this.valid(this.gateway);
  }

  /** The token that proves this worker to the control plane. */
  get controlToken(): string | undefined {
    return this.valid(this.control);
  }

  /** Milliseconds until something is to be renewed. */
  get dueIn(): number {
    const next = Math.min(this.control?.renewAt ?? 0, this.gateway?.renewAt ?? 0);
    return Math.max(0, next - this.options.now());
  }

  /** Fetches what is past its half life. The join token is used once, for the first token. @throws Error saying why not */
  async renew(): Promise<void> {
    const { joinToken, audience, ttl } = this.options;
    if (this.due(this.control)) {
      const bearer = this.controlToken;
      const proof = bearer === undefined ? { token: joinToken } : {};
      this.control = await this.ask({ audience: [controlPlaneAudience], ...proof }, bearer);
    }
    if (this.due(this.gateway))
      this.gateway = await this.ask({ audience: [audience], ttlSeconds: ttl }, this.controlToken);
  }

  private async ask(body: object, bearer: string | undefined): Promise<Token> {
    const asked = this.options.now();
    const { status, body: answer } = await this.options.post('/v1/jwt-svids', body, { bearer });
    if (status !== 200) throw new Error(`a JWT-SVID is refused with ${status}: ${reason(answer)}`);
    const issued = Issued.safeParse(answer);
    if (!issued.success) throw new Error('the answer to a JWT-SVID request is malformed');
    const expires = Date.parse(issued.data.expires);
    return { text: issued.data.token, expires, renewAt: asked + (expires - asked) / 2 };
  }

  private due(token: Token | undefined): boolean {
    return token === undefined || token.renewAt <= this.options.now();
  }

  private valid(token: Token | undefined): string | undefined {
    return token && token.expires > this.options.now() ? token.text : undefined;
  }
}

function reason(body: unknown): string {
  const { message } = (body ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message.slice(0, 300) : 'no reason given';
}
