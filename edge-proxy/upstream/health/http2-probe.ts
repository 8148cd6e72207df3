/** Health checks over HTTP/2: one exchange at a time on a connection of their own, which is kept where that is allowed. */
import { type Field, type ResponseFields, valuesOf } from '../../http/codec/h2/fields.ts';
import { UnaryClient, type UnaryOwner, type UnaryRequest } from '../../http/codec/h2/unary-client.ts';
import { type Dialler, type Dialling, dial } from '../dial.ts';
import type { Host } from '../host.ts';
import { type CheckResult, type Probe, REFUSED, UNANSWERED } from './health-checker.ts';
import { dialTarget, type HttpCheck, hostOf, judgeStatus, NO_TIMEOUT } from './health-probe.ts';

/** Judges one response; each answers as soon as there is a verdict. */
export interface ResponseJudge {
  onHead(head: ResponseFields, endStream: boolean): CheckResult | undefined;
  /** The bytes are valid during the call alone. */
  onData(bytes: Uint8Array, endStream: boolean): CheckResult | undefined;
  onTrailers(fields: readonly Field[]): CheckResult | undefined;
}

export interface Http2Check {
  /** @param secure over TLS */
  request(host: Host, secure: boolean): UnaryRequest;
  judge(): ResponseJudge;
  readonly reuseConnection: boolean;
}

/** An HTTP check with codec_client_type HTTP2: judged by its status, once the response is whole. */
export function httpOverHttp2(spec: HttpCheck): Http2Check {
  return {
    reuseConnection: spec.reuseConnection,
    request: (host, secure) => ({
      fields: [
        [':method', spec.method],
        [':scheme', secure ? 'https' : 'http'],
        [':authority', hostOf(spec, host)],
        [':path', spec.path],
        ...spec.fields,
      ],
      body: undefined,
    }),
    judge: () => new StatusJudge(spec),
  };
}

class StatusJudge implements ResponseJudge {
  private readonly spec: HttpCheck;
  private verdict: CheckResult | undefined;

  constructor(spec: HttpCheck) {
    this.spec = spec;
  }

  onHead({ status, fields }: ResponseFields, endStream: boolean): CheckResult | undefined {
    this.verdict = judgeStatus(this.spec, status, valuesOf(fields, 'x-envoy-degraded').length > 0);
    return endStream ? this.verdict : undefined;
  }

  onData(_: Uint8Array, endStream: boolean): CheckResult | undefined {
    return endStream ? this.verdict : undefined;
  }

  onTrailers(): CheckResult | undefined {
    return this.verdict;
  }
}

export class Http2Probe implements Probe {
  private readonly target: Host;
  private readonly spec: Http2Check;
  private readonly dialler: Dialler;
  private client: UnaryClient | undefined;
  private secure = false;
  private dialling: Dialling | undefined;
  private done: ((result: CheckResult) => void) | undefined;

  constructor(target: Host, spec: Http2Check, dialler: Dialler) {
    this.target = target;
    this.spec = spec;
    this.dialler = dialler;
  }

  check(done: (result: CheckResult) => void): () => void {
    this.done = done;
    if (this.client?.reusable) this.ask(this.client);
    else this.dial();
    return () => {
      this.done = undefined;
      // What does not answer in time is not asked again on the same connection: it may be dead.
      this.close();
    };
  }

  close(): void {
    const { client, dialling } = this;
    this.client = undefined;
    this.dialling = undefined;
    client?.close();
    dialling?.cancel();
  }

  private dial(): void {
    this.close();
    let where: ReturnType<typeof dialTarget>;
    try {
      where = dialTarget(this.target, 'http2');
    } catch {
      this.finish(UNANSWERED);
      return;
    }
    this.dialling = dial(this.dialler, where.to, where.tls, NO_TIMEOUT, {
      onOpen: (opened) => {
        this.dialling = undefined;
        this.secure = where.tls !== undefined;
        const client: UnaryClient = new UnaryClient(opened, () => {
          if (this.client === client) this.client = undefined;
        });
        this.client = client;
        this.ask(client);
      },
      onFailed: () => this.finish(UNANSWERED),
    });
  }

  private ask(client: UnaryClient): void {
    const judge = this.spec.judge();
    let verdict: CheckResult | undefined;
    /** A verdict before the end of the response: the rest is not waited for. */
    const early = (result: CheckResult | undefined, endStream: boolean) => {
      verdict ??= result;
      if (verdict === undefined || endStream) return;
      client.cancel();
      this.finish(verdict);
    };
    const owner: UnaryOwner = {
      onHead: (head, endStream) => early(judge.onHead(head, endStream), endStream),
      onData: (bytes, endStream) => early(judge.onData(bytes, endStream), endStream),
      onTrailers: (fields) => early(judge.onTrailers(fields), true),
      onEnd: () => this.finish(verdict ?? REFUSED),
      onReset: () => this.finish(UNANSWERED),
    };
    client.start(this.spec.request(this.target, this.secure), owner);
  }

  private finish(result: CheckResult): void {
    const { done } = this;
    this.done = undefined;
    if (!this.spec.reuseConnection || !this.client?.reusable) this.close();
    done?.(result);
  }
}
