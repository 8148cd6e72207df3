/** Sends many requests over few connections and keeps what of each answer a comparison needs. */
import { connect, type Socket } from 'node:net';

const LIMIT_MS = 20_000;
const CONNECTIONS = 4;

/** Status; `location` of a redirect; what the upstream received where it answered. */
export interface Answered {
  readonly status: number;
  readonly location: string;
  readonly received: string;
}

/**
 * @param heads each a request of no body, with its blank line
 * @returns the answers, in the order of the requests
 */
export async function sendAll(port: number, heads: readonly string[]): Promise<Answered[]> {
  const answers: Answered[] = new Array(heads.length);
  let next = 0;
  const work = async () => {
    const line = new Line(port);
    for (let at = next++; at < heads.length; at = next++) answers[at] = await line.send(heads[at]!);
    line.end();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, work));
  return answers;
}

/** One keep-alive connection at a time; a new one where the proxy ended the last. */
class Line {
  private readonly port: number;
  private socket: Socket | undefined;
  private text = '';
  private waiting: { done(answer: Answered): void; fail(error: Error): void } | undefined;

  constructor(port: number) {
    this.port = port;
  }

  send(head: string): Promise<Answered> {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => settle(() => fail(new Error(`no answer to ${JSON.stringify(head)}`))), LIMIT_MS);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.waiting = undefined;
        act();
      };
      this.waiting = {
        done: (answer) => settle(() => done(answer)),
        fail: (error) => settle(() => fail(new Error(`${error.message}: ${JSON.stringify(head)}`))),
      };
      this.socket ??= this.open();
      this.socket.write(head, 'latin1');
    });
  }

  end(): void {
    this.socket?.destroy();
    this.socket = undefined;
  }

  private open(): Socket {
    const socket = connect(this.port, '127.0.0.1');
    this.text = '';
    socket.setEncoding('latin1');
    socket.setNoDelay(true);
    socket.on('data', (part: string) => {
      this.text += part;
      const answer = wholeAnswer(this.text);
      if (answer === undefined) return;
      this.text = '';
      // A response that announces the end of its connection is not followed by another.
      if (answer.closes) this.end();
      this.waiting?.done(answer);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.socket !== socket) return;
      this.socket = undefined;
      this.waiting?.fail(new Error(`closed after ${JSON.stringify(this.text)}`));
    });
    return socket;
  }
}

function wholeAnswer(text: string): (Answered & { closes: boolean }) | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  const field = (name: string) => new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]?.trim() ?? '';
  const body = text.slice(end + 4);
  if (body.length < Number(field('content-length') || 0)) return undefined;
  const status = Number(head.split(' ')[1]);
  return {
    status,
    location: field('location'),
    received: status === 200 ? body : '',
    closes: /^close$/i.test(field('connection')),
  };
}
