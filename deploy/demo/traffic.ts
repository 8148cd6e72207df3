/** A steady stream of requests whose outcome is counted, never assumed. */
import { Agent, request } from 'node:http';

export interface Answer {
  status: number;
  /** The transport's error, when there was no answer. */
  error?: string;
  body: unknown;
}

/** One GET; never rejects. */
export function get(url: string, headers: Record<string, string> = {}, agent?: Agent): Promise<Answer> {
  return new Promise((done) => {
    const call = request(url, { headers, agent, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => done({ status: 0, error: error.message, body: undefined }));
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, body: decode(Buffer.concat(chunks).toString()) }),
      );
    });
    call.on('timeout', () => call.destroy(new Error('no answer within 10 s')));
    call.on('error', (error) => done({ status: 0, error: error.message, body: undefined }));
    call.end();
  });
}

function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Which version of reviews a front page was made with. */
export function versionOf(answer: Answer): string {
  const body = answer.body as { reviews?: { body?: { version?: string } } } | undefined;
  return body?.reviews?.body?.version ?? '?';
}

/** Keeps `concurrency` requests under way until stopped. */
export class Traffic {
  total = 0;
  failed = 0;
  firstFailure: string | undefined;
  readonly versions = new Map<string, number>();
  private readonly agent: Agent;
  private running = true;
  private readonly loops: Promise<void>[];

  constructor(url: string, concurrency: number) {
    this.agent = new Agent({ keepAlive: true, maxSockets: concurrency });
    this.loops = Array.from({ length: concurrency }, () => this.loop(url));
  }

  private async loop(url: string): Promise<void> {
    while (this.running) {
      const answer = await get(url, {}, this.agent);
      this.total++;
      if (answer.status === 200) this.versions.set(versionOf(answer), (this.versions.get(versionOf(answer)) ?? 0) + 1);
      else {
        this.failed++;
        this.firstFailure ??= answer.error ?? `status ${answer.status}: ${JSON.stringify(answer.body)}`.slice(0, 300);
      }
    }
  }

  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.loops);
    this.agent.destroy();
  }
}
