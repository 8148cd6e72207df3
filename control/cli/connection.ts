/** How the CLI reaches a control API: flags, then environment, then the kubeconfig-shaped file of `tulle kubeconfig`. */
import { readFileSync } from 'node:fs';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { escapeText } from '../../shared/log/escape.ts';
import { readWarnings } from '../api/resources/warning-header.ts';

/** A user's mistake, reported in one line with the remedy; never a stack trace. */
export class CliError extends Error {
  override name = 'CliError';
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface ConnectionFlags {
  server?: string;
  token?: string;
  caFile?: string;
  kubeconfig?: string;
}

export interface Answer {
  status: number;
  body: unknown;
  /** The server's warnings. */
  warnings: string[];
}

interface KubeconfigFile {
  clusters?: {
    cluster?: { server?: string; 'certificate-authority-data'?: string; 'certificate-authority'?: string };
  }[];
  users?: { user?: { token?: string } }[];
}

/** Default path of the CLI's own kubeconfig. */
export function defaultKubeconfig(): string {
  return process.env['TULLE_KUBECONFIG'] ?? join(homedir(), '.tulle', 'kubeconfig');
}

export class ControlApi {
  readonly server: string;
  private readonly token: string | undefined;
  readonly ca: string | undefined;

  constructor(server: string, token: string | undefined, ca: string | undefined) {
    this.server = server.replace(/\/+$/, '');
    this.token = token;
    this.ca = ca;
  }

  /** @throws CliError naming what is missing */
  static from(flags: ConnectionFlags): ControlApi {
    const file = readKubeconfig(flags.kubeconfig);
    const server = flags.server ?? process.env['TULLE_SERVER'] ?? file.server;
    if (!server)
      throw new CliError(
        'no control API is named: pass --server URL, set TULLE_SERVER, or write ~/.tulle/kubeconfig with "tulle kubeconfig"',
      );
    if (!/^https:\/\/[^/]/.test(server) || !URL.canParse(server))
      throw new CliError(`--server: must be an https:// URL, found "${server}"`);
    const caFile = flags.caFile ?? process.env['TULLE_CA_FILE'];
    const ca = caFile ? readText(caFile, '--ca-file') : file.ca;
    return new ControlApi(server, flags.token ?? process.env['TULLE_TOKEN'] ?? file.token, ca);
  }

  /** One JSON exchange. @throws CliError when the API cannot be reached or trusted; the caller checks the status. */
  async request(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<Answer> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const options: RequestOptions = {
      method,
      ca: this.ca,
      timeout: 30_000,
      headers: {
        accept: 'application/json',
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...(payload ? { 'content-type': contentType, 'content-length': payload.length } : {}),
      },
    };
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

function readKubeconfig(path: string | undefined): { server?: string; token?: string; ca?: string } {
  let text: string;
  try {
    text = readFileSync(path ?? defaultKubeconfig(), 'utf8');
  } catch (error) {
    if (path) throw new CliError(`--kubeconfig ${path}: ${(error as Error).message}`);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new CliError(`${defaultKubeconfig()}: ${(error as Error).message}`);
  }
  const file = parseKubeconfig(text, path ?? defaultKubeconfig());
  const cluster = file.clusters?.[0]?.cluster;
  const data = cluster?.['certificate-authority-data'];
  const ca = data ? Buffer.from(data, 'base64').toString('utf8') : undefined;
  return {
    server: cluster?.server,
    token: file.users?.[0]?.user?.token,
    ca:
      ca ??
      (cluster?.['certificate-authority']
        ? readText(cluster['certificate-authority'], 'certificate-authority')
        : undefined),
  };
}

function parseKubeconfig(text: string, path: string): KubeconfigFile {
  try {
    return (parse(text) ?? {}) as KubeconfigFile;
  } catch (error) {
    throw new CliError(`kubeconfig ${path}: is not YAML (${(error as Error).message.split('\n')[0]})`);
  }
}

/** @throws CliError naming the flag and the reason */
export function readText(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CliError(`${flag} ${path}: ${(error as Error).message}`);
  }
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
    : untrusted
      ? 'its certificate is not trusted: pass --ca-file with root-cert.pem of its data folder'
      : 'is "tulle control" running there?';
  return new CliError(`cannot reach the control API at ${server}: ${error.message}; ${way}`);
}
