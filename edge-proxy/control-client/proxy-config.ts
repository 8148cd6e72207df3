/**
 * The mesh's ProxyConfig for this proxy: asked of the control plane at the start, kept on disk for starts while it is away, and
 * asked again periodically, so that the cache is fresh and a change that needs a restart is reported.
 */
import * as z from 'zod';
import type { Node } from '../../shared/xds/core.ts';
import { ProxyConfigAnswer } from '../../shared/xds/proxy-config.ts';
import type { Files } from '../runtime/runtime.ts';
import { Backoff } from './backoff.ts';
import type { ControlResponse, RequestOptions } from './control-client.ts';

const FILE = 'proxy-config.json';
const FORMAT = 1;
/** With a cached answer starting fast matters more than a fresh one: one attempt. Without one, a few. */
const PATIENCE_MS = { kept: 3000, nothing: 10_000 };
const ATTEMPTS = { kept: 1, nothing: 3 };
const EVERY_MS = 300_000;
const RETRY_MS = 10_000;

const Kept = z.object({ format: z.literal(FORMAT), nodeId: z.string(), config: ProxyConfigAnswer });

/** The control plane is there and has nothing for us: asking again would not help. */
class NoAnswer extends Error {}

export interface ProxyConfigOptions {
  readonly client: {
    request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<ControlResponse>;
  };
  /** Read at each request. */
  readonly node: () => Node;
  readonly files: Files;
  /** Folder of `proxy-config.json`. */
  readonly folder: string;
  readonly log: (line: string) => void;
  /** 0 up to 1, for jitter. */
  readonly random: () => number;
  /** Calls back once, after `milliseconds`. @returns cancel */
  readonly after?: (milliseconds: number, callback: () => void) => () => void;
}

export class ProxyConfig {
  private readonly options: ProxyConfigOptions;
  private readonly backoff: Backoff;
  private readonly abort = new AbortController();
  private current: ProxyConfigAnswer = {};
  private kept: string | undefined;
  private failed = false;
  private cancelTimer: (() => void) | undefined;

  constructor(options: ProxyConfigOptions) {
    this.options = options;
    this.backoff = new Backoff(options.random, RETRY_MS, EVERY_MS);
  }

  /** The answer, else the one kept, else nothing. Never throws, and never waits for a control plane that is away. */
  async start(): Promise<ProxyConfigAnswer> {
    const kept = await this.load();
    try {
      this.current = await this.insist(kept ? 'kept' : 'nothing');
    } catch (error) {
      this.failed = true;
      this.options.log(
        `proxy config: ${(error as Error).message}; starting with ${kept ? 'the last one known' : 'flags and defaults'}`,
      );
      this.current = kept ?? {};
    }
    return this.current;
  }

  /** Asks again periodically, until `stop`. @param changed receives each answer that differs from the previous one */
  follow(changed: (config: ProxyConfigAnswer) => void): void {
    if (this.abort.signal.aborted) return;
    const { random, after = timer } = this.options;
    const wait = this.failed ? this.backoff.next() : EVERY_MS * (0.8 + 0.4 * random());
    this.cancelTimer = after(wait, () => {
      void this.refresh(changed).then(() => this.follow(changed));
    });
  }

  stop(): void {
    this.abort.abort(new Error('stopped'));
    this.cancelTimer?.();
  }

  /** Failures are quiet: discovery says when the control plane is away. */
  private async refresh(changed: (config: ProxyConfigAnswer) => void): Promise<void> {
    try {
      const before = JSON.stringify(this.current);
      this.current = await this.ask(PATIENCE_MS.nothing);
      this.failed = false;
      this.backoff.reset();
      if (JSON.stringify(this.current) !== before) changed(this.current);
    } catch {
      this.failed = true;
    }
  }

  /** @throws Error in one line, of the last attempt */
  private async insist(held: 'kept' | 'nothing'): Promise<ProxyConfigAnswer> {
    for (let left = ATTEMPTS[held]; ; left--) {
      try {
        return await this.ask(PATIENCE_MS[held]);
      } catch (error) {
        if (left <= 1 || error instanceof NoAnswer) throw error;
      }
    }
  }

  /** @throws NoAnswer, or Error in one line when the control plane cannot be reached, or fails */
  private async ask(timeoutMs: number): Promise<ProxyConfigAnswer> {
    const { client } = this.options;
    const node = this.options.node();
    const { signal } = this.abort;
    const { status, body } = await client.request('POST', '/v1/proxy-config', { node }, { signal, timeoutMs });
    if (status >= 500) throw new Error(`the control plane answers with ${status}`);
    if (status !== 200) throw new NoAnswer(`the control plane refuses it with ${status}`);
    const answer = ProxyConfigAnswer.safeParse(body);
    if (!answer.success) throw new NoAnswer("the control plane's answer is malformed");
    await this.keep(answer.data);
    return answer.data;
  }

  private get path(): string {
    return `${this.options.folder}/${FILE}`;
  }

  /** Undefined when there is nothing, it is another node's, or it is damaged (logged once). */
  private async load(): Promise<ProxyConfigAnswer | undefined> {
    try {
      const bytes = await this.options.files.read(this.path);
      if (!bytes) return undefined;
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      const { nodeId, config } = Kept.parse(JSON.parse(text));
      if (nodeId !== this.options.node().id) return undefined;
      this.kept = text;
      return config;
    } catch {
      this.options.log(`${this.path} is ignored: it cannot be read or is damaged`);
      return undefined;
    }
  }

  private async keep(config: ProxyConfigAnswer): Promise<void> {
    const text = JSON.stringify({ format: FORMAT, nodeId: this.options.node().id, config });
    if (text === this.kept) return;
    try {
      await this.options.files.writeAtomic(this.path, new TextEncoder().encode(text), 0o600);
      this.kept = text;
    } catch (error) {
      this.options.log(`${this.path} cannot be written: ${(error as Error).message}`);
    }
  }
}

function timer(milliseconds: number, callback: () => void): () => void {
  const handle = setTimeout(callback, milliseconds);
  return () => clearTimeout(handle);
}
