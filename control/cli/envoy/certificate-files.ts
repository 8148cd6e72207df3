/** `tulle certificate-files`: keeps the certificate of a workload in files, for an Envoy without an agent and for others. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ControlClient } from '../../../edge-proxy/control-client/control-client.ts';
import { ControlPlanes } from '../../../edge-proxy/control-client/control-planes.ts';
import {
  type Identity,
  IdentityError,
  IdentityManager,
  identityClock,
} from '../../../edge-proxy/control-client/identity.ts';
import { currentRuntime } from '../../../edge-proxy/runtime/index.ts';
import { TYPE_URLS } from '../../../shared/xds/discovery.ts';
import { CliError } from '../cli-error.ts';

export interface CertificateFlags {
  controlPlane: string[];
  trustBundle: string;
  joinTokenFile?: string;
  output: string;
  once?: boolean;
}

/**
 * Joins, writes the files, and renews them at half of each certificate's life, until SIGTERM or SIGINT; with `once` it ends when
 * they are written.
 * @throws CliError
 */
export async function keepCertificateFiles(flags: CertificateFlags, say: (line: string) => void): Promise<void> {
  const folder = resolve(flags.output);
  const runtime = currentRuntime();
  const roots = await readFile(flags.trustBundle, 'utf8').catch((error: Error) => {
    throw new CliError(`--trust-bundle ${flags.trustBundle}: cannot be read: ${error.message}`);
  });
  await runtime.files.makeFolder(folder, 0o700).catch((error: Error) => {
    throw new CliError(`--output ${folder}: cannot be used: ${error.message}`);
  });
  const log = (line: string) => say(line);
  const trustedRoots = () => identity.current?.trustBundle ?? roots;
  const client = new ControlPlanes(
    flags.controlPlane.map((url) => ({
      url,
      client: new ControlClient({ runtime, url, trustedRoots, identity: () => identity.keyPair }),
    })),
    log,
  );
  const joinToken = await tokenIn(flags.joinTokenFile);
  const identity: IdentityManager = new IdentityManager({
    files: runtime.files,
    folder,
    request: (method, path, body) => client.request(method, path, body),
    ...(joinToken !== undefined && { joinToken }),
    clock: identityClock(runtime),
    random: () => runtime.random(),
    log,
  });
  const stopped = new Promise<void>((done) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => done());
  });
  try {
    let last = writeFiles(folder, await identity.start());
    await last;
    say(`${identity.current?.spiffeId}: certificate in ${folder}`);
    if (flags.once) return;
    identity.subscribe((renewed) => {
      last = last
        .then(() => writeFiles(folder, renewed))
        .catch((error: Error) => say(`certificate is renewed and not written: ${error.message}`));
    });
    await stopped;
    await last;
  } catch (error) {
    throw error instanceof IdentityError ? new CliError(error.message) : error;
  } finally {
    identity.stop();
    client.close();
  }
}

async function tokenIn(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) {
    const token = process.env['TULLE_JOIN_TOKEN'];
    delete process.env['TULLE_JOIN_TOKEN'];
    return token;
  }
  return (
    await readFile(file, 'utf8').catch((error: Error) => {
      throw new CliError(`--join-token-file ${file}: cannot be read: ${error.message}`);
    })
  ).trim();
}

/** By Istio's names in PEM, and as Envoy's secrets, which hold them so that key and certificate belong together. */
async function writeFiles(folder: string, { keyPair, trustBundle }: Identity): Promise<void> {
  const { certificateChain, privateKey } = keyPair;
  const secret = (name: string, content: object) =>
    `${JSON.stringify({ resources: [{ '@type': TYPE_URLS.secrets, name, ...content }] })}\n`;
  const files = {
    'root-cert.pem': trustBundle,
    'cert-chain.pem': certificateChain,
    'key.pem': privateKey,
    'ROOTCA.json': secret('ROOTCA', { validationContext: { trustedCa: { inlineString: trustBundle } } }),
    'default.json': secret('default', {
      tlsCertificate: {
        certificateChain: { inlineString: certificateChain },
        privateKey: { inlineString: privateKey },
      },
    }),
  };
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await writeFile(`${path}.new`, content, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}
