/** How the CLI reaches a control API: flags, then environment variables, then kubeconfig files. */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { createInterface } from 'node:readline';
import { buffer } from 'node:stream/consumers';
import { escapeText } from '../../shared/log/escape.ts';
import { readWarnings } from '../api/resources/warning-header.ts';
import { CliError, readText } from './cli-error.ts';
import { type KubeContext, readKubeContext } from './kubeconfig/read.ts';

export interface ConnectionFlags {
  server?: string;
  token?: string;
  caFile?: string;
  kubeconfig?: string;
  /** A context of the kubeconfig. */
  context?: string;
}

export interface Answer {
  status: number;
  body: unknown;
  /** The server's warnings. */
  warnings: string[];
}

export class ControlApi {
  readonly server: string;
  private readonly token: string | undefined;
  readonly ca: string | undefined;
  /** The namespace of commands that name none. */
  readonly namespace: string;
  private readonly tls: Pick<RequestOptions, 'cert' | 'key' | 'servername'>;

  /** @param more of a kubeconfig's context: its namespace, client certificate and server name */
  constructor(
    server: string,
    token: string | undefined,
    ca: string | undefined,
    more: Pick<KubeContext, 'namespace' | 'clientCertificate' | 'serverName'> = {},
  ) {
    this.server = server.replace(/\/+$/, '');
    this.token = token;
    this.ca = ca;
    this.namespace = more.namespace ?? 'default';
    const servername = more.serverName === undefined ? {} : { servername: more.serverName };
    this.tls = { ...more.clientCertificate, ...servername };
  }

  /** @throws CliError naming what is missing */
  static from(flags: ConnectionFlags): ControlApi {
    const file = readKubeContext(flags.kubeconfig, flags.context);
    const server = flags.server ?? process.env['TULLE_SERVER'] ?? file.server;
    if (!server)
      throw new CliError(
        'no control API is named: pass --server URL, set TULLE_SERVER, or write ~/.tulle/kubeconfig with "tulle kubeconfig --save"; KUBECONFIG is read too',
      );
    if (!/^https:\/\/[^/]/.test(server) || !URL.canParse(server))
      throw new CliError(`--server: must be an https:// URL, found "${server}"`);
    const caFile = flags.caFile ?? process.env['TULLE_CA_FILE'];
    const ca = caFile ? readText(caFile, '--ca-file') : file.ca;
    return new ControlApi(server, flags.token ?? process.env['TULLE_TOKEN'] ?? file.token, ca, file);
  }

  private options(method: string, body?: { bytes: Buffer; contentType: string }): RequestOptions {
    return {
      method,
      ca: this.ca,
      ...this.tls,
      headers: {
        accept: 'application/json',
        'user-agent': 'tulle',
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...(body ? { 'content-type': body.contentType, 'content-length': body.bytes.length } : {}),
      },
    };
  }

  /** One JSON exchange. @throws CliError when the API cannot be reached or trusted; the caller checks the status. */
  async request(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Answer> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const sent = payload && { bytes: payload, contentType };
    const options = { ...this.options(method, sent), timeout: 30_000 };
    return await new Promise<Answer>((resolve, reject) => {
      const call = httpsRequest(new URL(path, `${this.server}/`), options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', (error) => reject(unreachable(this.server, error)));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: parseBody(Buffer.concat(chunks)),
            warnings: readWarnings(response.headers.warning ?? ''),
          }),
        );
      });
      call.on('timeout', () => call.destroy(new Error('no answer within 30 s')));
      call.on('error', (error) => reject(unreachable(this.server, error)));
      call.end(payload);
    });
  }

  /** As `request`, with every failure status turned into a CliError that lists the causes. */
  async call<T>(method: string, path: string, body?: unknown, contentType?: string): Promise<T> {
    const answer = await this.request(method, path, body, contentType);
    if (answer.status >= 300) throw new CliError(describeStatus(answer));
    return answer.body as T;
  }

  /** The JSON values of a response with one a line, as they arrive. @throws CliError as `call` */
  async *lines(method: string, path: string): AsyncGenerator<unknown, void, void> {
    for await (const line of this.texts(method, path)) if (line !== '') yield JSON.parse(line) as unknown;
  }

  /** The lines of a response, as they arrive. @throws CliError as `call` */
  async *texts(method: string, path: string): AsyncGenerator<string, void, void> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = httpsRequest(new URL(path, `${this.server}/`), this.options(method), resolve);
      call.on('error', (error) => reject(unreachable(this.server, error)));
      call.end();
    });
    try {
      if (response.statusCode !== 200) {
        const body = parseBody(await buffer(response));
        throw new CliError(describeStatus({ status: response.statusCode ?? 0, body, warnings: [] }));
      }
      yield* createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
    } finally {
      response.destroy();
    }
  }
}

/** A Kubernetes Status as lines: the message, then each cause with its path. */
export function describeStatus(answer: Answer): string {
  const status = answer.body as
    | { message?: string; details?: { causes?: { field?: string; message?: string }[] } }
    | undefined;
  const causes = status?.details?.causes ?? [];
  const head = status?.message ?? `the control API answered ${answer.status}`;
  const hint =
    answer.status === 401 ? ' (pass --token, or set TULLE_TOKEN to the admin token printed at first start)' : '';
  // A single cause is already in the message.
  const more = causes.length === 1 && head.includes(causes[0]?.message ?? '') ? [] : causes;
  const causeLine = (cause: { field?: string; message?: string }) => `${cause.field ?? ''}: ${cause.message ?? ''}`;
  return [escapeText(head) + hint, ...more.map((cause) => `  ${escapeText(causeLine(cause))}`)].join('\n');
}

function parseBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return { message: bytes.toString('utf8').slice(0, 500) };
  }
}

function unreachable(server: string, error: Error & { code?: string }): CliError {
  const untrusted = /CERT|SIGNED|VERIFY|ISSUER/.test(error.code ?? '');
  const way = /NOT_YET_VALID|HAS_EXPIRED/.test(error.code ?? '')
    ? `this machine's clock is at ${new Date().toISOString()}: check the clocks of both machines`
    : error.code === 'ERR_TLS_CERT_ALTNAME_INVALID'
      ? 'its certificate does not hold this name or address: start "tulle control" with --server-name NAME, or use one that it holds'
      : untrusted
        ? 'its certificate is not trusted: pass --ca-file with root-cert.pem of its data folder'
        : 'is "tulle control" running there?';
  return new CliError(`cannot reach the control API at ${server}: ${error.message}; ${way}`);
}
