/** Metadata services of AWS, Google Cloud, Azure and GitHub Actions in the form that they have, on one port of loopback. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface MetadataDocuments {
  readonly aws?: { readonly document: string; readonly signature: string };
  /** The identity token for an audience. */
  readonly gcp?: (audience: string) => string;
  readonly azure?: (nonce: string) => string | Promise<string>;
  /** The token for an audience. */
  readonly actions?: (audience: string) => string;
}

export const ACTIONS_BEARER = 'job-secret';
const AWS_TOKEN = 'AQAEAJ-session';

export interface MetadataServer {
  readonly port: number;
  /** `METHOD path?query` of what was asked. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

export async function startMetadataServer(documents: MetadataDocuments): Promise<MetadataServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    void answer(documents, request, response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function answer(documents: MetadataDocuments, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url!, 'http://metadata');
  const { headers, method } = request;
  const say = (status: number, text = '', own: Record<string, string> = {}) =>
    void response.writeHead(status, own).end(text);
  const { aws, gcp, azure, actions } = documents;
  if (aws && pathname === '/latest/api/token') {
    const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds']);
    return say(method === 'PUT' && seconds >= 1 && seconds <= 21_600 ? 200 : 400, AWS_TOKEN);
  }
  if (aws && pathname.startsWith('/latest/dynamic/instance-identity/')) {
    if (headers['x-aws-ec2-metadata-token'] !== AWS_TOKEN) return say(401);
    if (pathname.endsWith('/document')) return say(200, aws.document);
    return pathname.endsWith('/rsa2048') ? say(200, aws.signature) : say(404);
  }
  if (gcp && pathname === '/computeMetadata/v1/instance/service-accounts/default/identity') {
    const flavor = { 'Metadata-Flavor': 'Google' };
    if (headers['metadata-flavor'] !== 'Google' || searchParams.get('format') !== 'full') return say(403, '', flavor);
    return say(200, gcp(searchParams.get('audience') ?? ''), flavor);
  }
  if (azure && pathname === '/metadata/attested/document') {
    if (headers['metadata'] !== 'true' || !searchParams.get('api-version')) return say(400);
    return say(200, await azure(searchParams.get('nonce') ?? ''));
  }
  if (actions && pathname === '/actions/token') {
    if (headers['authorization'] !== `bearer ${ACTIONS_BEARER}`) return say(401);
    return say(200, JSON.stringify({ value: actions(searchParams.get('audience') ?? '') }));
  }
  say(404);
}
