/** Commands for stock Envoys that follow the control plane themselves. */
import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { buildNode } from '../../../edge-proxy/control-client/node.ts';
import { CliError } from '../cli-error.ts';
import { type CertificateSource, envoyBootstrap } from './bootstrap.ts';

interface BootstrapFlags {
  controlPlane: string[];
  certificates?: string;
  sdsSocket?: string;
  type: string;
  namespace: string;
  serviceAccount: string;
  name?: string;
  ip: string;
  labels: string;
  appPort?: string[];
  locality?: string;
  network?: string;
  domainSuffix: string;
  outboundBind?: string;
  httpProxyPort?: string;
  adminPort: string;
  output?: string;
}

const gathered = (value: string, before: string[] = []) => [...before, ...value.split(',')];

export function registerEnvoyCommands(program: Command): void {
  program
    .command('envoy-bootstrap')
    .description(
      'The bootstrap of a stock Envoy that follows the control plane itself, by gRPC (incremental ADS), without an agent.',
    )
    .requiredOption('--control-plane <URL>', 'https://HOST:PORT of the control plane; repeatable', gathered)
    .option('--certificates <folder>', 'of the files that tulle certificate-files keeps')
    .option('--sds-socket <path>', 'in their place: Unix socket of an SDS server, such as that of a SPIRE agent')
    .option('--type <type>', 'sidecar, or router: a gateway', 'sidecar')
    .option('--namespace <name>', 'of the workload', 'default')
    .option('--service-account <name>', 'of the workload', 'default')
    .option('--name <name>', 'of the workload (default: the service account)')
    .option('--ip <address>', "the workload's address", '127.0.0.1')
    .option('--labels <K=V,K=V>', 'of the workload', '')
    .option('--app-port <NAME=PORT>', 'where the application listens for service port NAME; repeatable', gathered)
    .option('--locality <REGION/ZONE/SUBZONE>', 'of the workload')
    .option('--network <name>', "of the workload's address")
    .option('--domain-suffix <name>', 'of the mesh', 'cluster.local')
    .option('--outbound-bind <address>', 'where outbound listeners bind (default: an address in 127.64.0.0/10)')
    .option('--http-proxy-port <port>', 'loopback port for HTTP proxy requests (default: none)')
    .option('--admin-port <port>', "of Envoy's admin interface on 127.0.0.1; 0: chosen free", '15000')
    .option('-o, --output <file>', 'write to a file instead of standard output')
    .action((flags: BootstrapFlags) => {
      const text = `${JSON.stringify(bootstrapOf(flags), null, 2)}\n`;
      if (flags.output === undefined) process.stdout.write(text);
      else writeFileSync(flags.output, text);
    });

  program
    .command('certificate-files')
    .description(
      "Join, and keep the workload's certificate in files until stopped: cert-chain.pem, key.pem and root-cert.pem, and as Envoy's secrets default.json and ROOTCA.json.",
    )
    .requiredOption('--control-plane <URL>', 'https://HOST:PORT of the control plane; repeatable', gathered)
    .requiredOption('--trust-bundle <file>', 'PEM roots that the control plane chains to')
    .option('--join-token-file <file>', 'one-time token for the first certificate (default: TULLE_JOIN_TOKEN)')
    .requiredOption('-o, --output <folder>', 'for the files, and for what is needed to renew them')
    .option('--once', 'end when the files are written, instead of renewing them')
    .action(async (flags) => {
      const { keepCertificateFiles } = await import('./certificate-files.ts');
      await keepCertificateFiles(flags, (line) => void process.stderr.write(`tulle certificate-files: ${line}\n`));
    });
}

function bootstrapOf(flags: BootstrapFlags): object {
  const { serviceAccount, namespace, domainSuffix, locality, network, outboundBind } = flags;
  for (const url of flags.controlPlane)
    if (!/^https:\/\/[^/\s]+\/?$/.test(url)) throw new CliError(`--control-plane ${url}: must be https://HOST:PORT`);
  if (flags.type !== 'sidecar' && flags.type !== 'router')
    throw new CliError(`--type ${flags.type}: must be sidecar or router`);
  if (isIP(flags.ip) === 0) throw new CliError(`--ip ${flags.ip}: must be an IP address`);
  const appPorts = Object.fromEntries(
    (flags.appPort ?? []).map((pair) => {
      const [name, port = ''] = pairOf('--app-port', pair);
      return [name, portOf('--app-port', port)];
    }),
  );
  const node = buildNode({
    ...{ namespace, serviceAccount, domainSuffix, locality, network, outboundBind, appPorts },
    type: flags.type,
    name: flags.name ?? serviceAccount,
    ip: flags.ip,
    labels: Object.fromEntries(
      flags.labels
        .split(',')
        .filter(Boolean)
        .map((pair) => pairOf('--labels', pair)),
    ),
    interceptionMode: 'NONE',
    version: '',
    runtime: '',
    userAgent: 'envoy',
    httpProxyPort: flags.httpProxyPort === undefined ? undefined : portOf('--http-proxy-port', flags.httpProxyPort),
    answersDns: false,
  });
  return envoyBootstrap({
    node,
    controlPlanes: flags.controlPlane,
    certificates: certificatesOf(flags),
    adminPort: portOf('--admin-port', flags.adminPort),
  });
}

function certificatesOf({ certificates, sdsSocket }: BootstrapFlags): CertificateSource {
  if ((certificates === undefined) === (sdsSocket === undefined))
    throw new CliError(
      'name where Envoy finds its certificate: --certificates FOLDER (tulle certificate-files keeps it there), or --sds-socket PATH',
    );
  return certificates === undefined ? { socket: resolve(sdsSocket!) } : { folder: resolve(certificates) };
}

function pairOf(flag: string, pair: string): [string, string] {
  const at = pair.indexOf('=');
  if (at <= 0) throw new CliError(`${flag} ${pair}: must be NAME=VALUE`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}

function portOf(flag: string, text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535) throw new CliError(`${flag} ${text}: must be a port number`);
  return Number(text);
}
