/** The `tulle` command: its commands and flags. Each command is implemented in a file of its own name. */
import './compile-cache.mjs';
import { Command, Option } from 'commander';
import pkg from '../../package.json' with { type: 'json' };
import { auditOptions } from './access/audit-flags.ts';
import { limitOptions } from './access/limit-flags.ts';
import { oidcOptions } from './access/oidc-flags.ts';
import { userCertificateOptions } from './access/user-certificate-flags.ts';
import { registerBackupCommands } from './backup/commands.ts';
import { CliError } from './cli-error.ts';
import {
  type ClientFlags,
  client,
  type FileFlags,
  fileOptions,
  files,
  output,
  sourcePaths,
} from './command-options.ts';
import { ControlApi } from './connection.ts';
import { encryptionKeyCommand, encryptionKeyFile } from './encryption/encryption-keys.ts';
import { registerEnvoyCommands } from './envoy/commands.ts';
import { registerHistoryCommands } from './history/commands.ts';
import { registerCaCommands } from './identity/ca.ts';
import { registerRevokeCommand } from './identity/revoke.ts';
import { defaultKubeconfig } from './kubeconfig/read.ts';
import { kubeconfig, kubeconfigAccess, mustNotReplace, saveKubeconfig } from './kubeconfig/write.ts';
import { registerCaptureCommands } from './machine/capture.ts';
import { registerMachineCommands } from './machine/commands.ts';
import { registerInject } from './machine/inject.ts';
import { registerNamespaceCommands } from './machine/namespace.ts';
import { note, outputFormat } from './output.ts';
import { registerResourceCommands } from './resources/commands.ts';
import { registerRolloutCommands } from './rollout/commands.ts';
import { createUserToken, registerTokenCommands } from './tokens.ts';

const program = new Command('tulle')
  .enablePositionalOptions()
  .helpCommand(false)
  .description("A light service mesh: Istio's resources, no Kubernetes and no Envoy needed.")
  .version(`tulle ${pkg.version}`, '-V, --version', 'print the version')
  .showHelpAfterError('(run "tulle help" for the commands)')
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'tulle: ')) });

const validate = program
  .command('validate')
  .description(
    'Check resources offline: schema and meaning, every violation with its path. Exit code 1 when one is invalid.',
  );
fileOptions(validate, 'what to check')
  .argument('[files...]', 'files and folders, as with -f')
  .option('-o, --output <format>', 'table or json', 'table')
  .action(async (positional: string[], flags: FileFlags & { output: string }) => {
    const { runValidate } = await import('./validate.ts');
    const { recursive, paths } = sourcePaths(flags);
    const all = [...paths, ...positional];
    if (all.length === 0) throw new CliError('validate: name files or folders, or - for standard input');
    process.exitCode = await runValidate(
      { paths: all, recursive },
      { output: outputFormat(flags.output, ['table', 'json']) },
    );
  });

program
  .command('explain')
  .description(
    'What the fields of a kind are, offline: tulle explain virtualservice.spec.http.retries; tulle explain meshconfig',
  )
  .argument('<path>', 'a kind, then fields joined by dots')
  .option('--recursive', 'fields of fields too, names only')
  .option('--api-version <version>', 'another version than the preferred one, as networking.istio.io/v1beta1')
  .action(async (path: string, flags: { recursive?: boolean; apiVersion?: string }) => {
    const { explain } = await import('./explain.ts');
    process.stdout.write(explain(path, flags));
  });

const compile = program.command('compile').description('The xDS resources a proxy would be sent, in JSON, offline.');
files(compile, 'the resources')
  .requiredOption(
    '--node <file>',
    'the proxy, as an xDS Node in JSON: {"id": "sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local", "metadata": {…}}',
  )
  .option('-o, --output <format>', 'json or yaml', 'json')
  .action(async (flags: FileFlags & { node: string; output: string }) => {
    const { runCompile } = await import('./compile.ts');
    process.exitCode = await runCompile(sourcePaths(flags), flags.node, {
      output: outputFormat(flags.output, ['json', 'yaml']),
    });
  });

const control = program
  .command('control')
  .description('Run the control plane: control API, certificate authority, discovery.')
  .option('--data <folder>', 'where resources, keys and tokens are kept', './tulle-data')
  .option(
    '--store <url>',
    'keep resources, roots, joins and tokens in etcd: etcd://host:port[,host:port…][/prefix] (default: files in --data)',
  )
  .option('--etcd-cacert <file>', 'PEM of the CAs that etcd is verified by; ETCDCTL_CACERT')
  .option('--etcd-cert <file>', 'PEM of the client certificate for etcd; ETCDCTL_CERT')
  .option('--etcd-key <file>', 'PEM of its key; ETCDCTL_KEY')
  .option('--etcd-user <name>', 'user of etcd; ETCDCTL_USER')
  .option('--etcd-password-file <file>', "the user's password; or ETCDCTL_PASSWORD")
  .addOption(encryptionKeyFile())
  .addOption(encryptionKeyCommand())
  .option('--history-retention <duration>', 'how long revisions of resources are kept once superseded; 0s: not', '7d')
  .option('--history-limit <number>', 'most revisions of one resource that are kept', '20')
  .option('--address <address>', 'address to listen on', '127.0.0.1')
  .option('--port <port>', 'port to listen on; 0: chosen by the kernel', '15012')
  .option('--server-name <name...>', 'further names or addresses by which proxies reach this server')
  .option(
    '--advertise <host[:port]>',
    'what the printed URL names, as behind NAT or a load balancer; its host is put into the certificate too (default: where it listens)',
  )
  .option(
    '--token-issuer <url>',
    'issuer of JWT-SVIDs and of tokens of ServiceAccounts (default: the URL of the control plane; in etcd that of the first one)',
  )
  .option('--trust-domain <name>', 'SPIFFE trust domain', 'cluster.local')
  .option('--ca-certs <folder>', 'plug in a CA: root-cert.pem, ca-cert.pem, ca-key.pem, cert-chain.pem')
  .option('--svid-ttl <duration>', 'lifetime of certificates, as 24h or 60s', '24h')
  .option(
    '--rejoin-grace <duration>',
    'how long after its end a certificate may still renew, as 168h; 0s: never',
    '168h',
  )
  .addOption(
    new Option('--discovery <mode>', 'what sidecars are sent: hosts that they use, or all that they may use')
      .choices(['on-demand', 'eager'])
      .default('on-demand'),
  )
  .option('--withhold-features <names>', 'extensions of discovery that no proxy gets, as tulle.virtual-hosts,…')
  .option('--multiple-authz-providers', 'a workload may have CUSTOM AuthorizationPolicies of several providers')
  .option('--max-svid-ttl <duration>', 'longest lifetime a workload may request (default: that of --svid-ttl)')
  .option('--max-sessions <number>', 'most proxies at a time', '10000')
  .option('--max-sessions-per-namespace <number>', 'most proxies of one namespace at a time', '5000')
  .option('--max-sessions-per-identity <number>', 'most proxies of one service account at a time', '1000')
  .option(
    '--workload-cleanup-seconds <number>',
    'from the moment that a registered machine has left to the removal of its WorkloadEntry (hand-written: of its health)',
    '10',
  )
  .option('--event-ttl <duration>', 'how long Events are kept after their last write, as 1h', '1h')
  .option('--max-events-per-namespace <number>', 'most Events of one namespace; the oldest go', '2000')
  .addOption(
    new Option('--tls-min-version <version>', 'oldest version of TLS that clients may use')
      .choices(['VersionTLS12', 'VersionTLS13'])
      .default('VersionTLS13'),
  )
  .option('--max-connections <number>', 'most connections at a time', '20000')
  .option(
    '--max-connections-per-address <number>',
    'most connections of one address that proved no identity: handshakes, joins, probes',
    '1024',
  )
  .option(
    '--jwks-allow-host <host...>',
    'hosts, as name or name:port, at which keys of token issuers are fetched although their addresses are private, loopback or link-local',
  )
  .option('--jwks-refresh <duration>', 'how often keys of token issuers are fetched', '20m')
  .option('--jwks-ca-file <file>', 'PEM certificates of CAs that issuers are verified by, besides the public ones')
  .option('--monitoring-address <address>', 'address on which /metrics is served, in plaintext', '127.0.0.1')
  .option(
    '--monitoring-port <port>',
    'its port; 0: chosen by the kernel (default: 15014; 0 with --port 0 or --announce)',
  )
  .option('--log-format <format>', 'text, or json with a line for each event', 'text')
  .option('--log-level <level>', 'error, warn, info or debug', 'info')
  .option(
    '--install-files <folder>',
    'what machines that join download: the folder install of a build (default: that of this package)',
  )
  .option('--announce', 'print one JSON line with address and port once ready');
limitOptions(oidcOptions(userCertificateOptions(auditOptions(control)))).action(async (flags) => {
  const { runControl } = await import('./control.ts');
  await runControl(flags);
});

program
  .command('proxy')
  .description(
    "Run a proxy: -c FILE in Envoy's own bootstrap form, or joined to a control plane. --runtime bun|node|deno (default: the best one found); tulle proxy --help lists the rest.",
  )
  .usage('[--runtime NAME] [proxy flags]')
  .helpOption(false)
  .allowUnknownOption()
  .argument('[flags...]', "the proxy's own flags")
  .action(async () => {
    const { becomeProxy, splitRuntime } = await import('./proxy.ts');
    const { runtime, rest } = splitRuntime(process.argv.slice(3));
    await becomeProxy(runtime, rest);
  });

program
  .command('run')
  .description(
    'Start a sidecar, then COMMAND once the proxy is ready; the proxy stops last. Flags before -- are those of tulle proxy.',
  )
  .usage('[--runtime NAME] [--netns] [proxy flags] -- COMMAND')
  .helpOption(false)
  .allowUnknownOption()
  .argument('[command...]', 'the application and its arguments')
  .action(async () => {
    const { becomeSidecar, splitRuntime } = await import('./proxy.ts');
    const given = process.argv.slice(3);
    const at = given.indexOf('--');
    if (at < 0 && given.some((word) => word === '--help' || word === '-h')) return await proxyHelp('run');
    // Without "--" all words are the command, which no flag can be the name of.
    if (at < 0 && given[0]?.startsWith('-'))
      throw new CliError(`run: ${given[0]} is no command; write "tulle run [flags] -- COMMAND"`);
    const { runtime, rest } = splitRuntime(at < 0 ? [] : given.slice(0, at));
    await becomeSidecar(runtime, rest, at < 0 ? given : given.slice(at + 1));
  });

program
  .command('envoy')
  .description(
    'Run a stock Envoy as a proxy of the mesh: this process joins, renews and follows discovery, Envoy runs the traffic. Flags before -- are those of tulle proxy, words after it those of Envoy.',
  )
  .usage('[--runtime NAME] [--envoy-path FILE] [proxy flags] [-- ENVOY ARGUMENTS]')
  .helpOption(false)
  .allowUnknownOption()
  .argument('[flags...]', 'flags of tulle proxy')
  .action(async () => {
    const { becomeEnvoy, splitRuntime } = await import('./proxy.ts');
    const given = process.argv.slice(3);
    const at = given.indexOf('--');
    const flags = at < 0 ? given : given.slice(0, at);
    if (flags.some((word) => word === '--help' || word === '-h')) return await proxyHelp('envoy');
    const { runtime, rest } = splitRuntime(flags);
    await becomeEnvoy(runtime, rest, at < 0 ? [] : given.slice(at + 1));
  });

registerResourceCommands(program);
registerHistoryCommands(program);
registerBackupCommands(program);

registerEnvoyCommands(program);
registerInject(program);
registerTokenCommands(program);
registerRolloutCommands(program);
registerRevokeCommand(program);
registerCaCommands(program);

registerMachineCommands(program);
const onRuntime = async (runtime: 'bun' | 'deno') => (await import('./proxy.ts')).ownCommandOn(runtime);
registerCaptureCommands(program, onRuntime);
registerNamespaceCommands(program, onRuntime);

client(
  program
    .command('proxy-status')
    .description('Connected proxies and whether their config is in sync (as istioctl proxy-status).'),
)
  .argument('[proxy]', 'one of them: its id, name.namespace, name, or the beginning of one')
  .addOption(output())
  .action(async (word: string | undefined, flags: ClientFlags) => {
    const { proxyStatus } = await import('./proxies.ts');
    const api = ControlApi.from(flags);
    await proxyStatus(api, word, flags.namespace ?? api.namespace, outputFormat(flags.output));
  });

client(
  program
    .command('proxy-config')
    .description('The config the control plane sends a proxy: tulle proxy-config routes PROXY'),
)
  .argument(
    '<type>',
    'listeners, routes, virtualHosts, hosts, dnsHosts, clusters, endpoints or secrets, or the beginning of one',
  )
  .argument('<proxy>', 'its id, name.namespace, name, or the beginning of one')
  .option('--service-account <name>', 'which proxy, where several use one id')
  .addOption(output())
  .action(async (type: string, word: string, flags: ClientFlags & { serviceAccount?: string }) => {
    const { proxyConfig } = await import('./proxies.ts');
    const api = ControlApi.from(flags);
    const namespace = flags.namespace ?? api.namespace;
    const options = { namespace, output: outputFormat(flags.output), serviceAccount: flags.serviceAccount };
    await proxyConfig(api, type, word, options);
  });

program
  .command('kubeconfig')
  .description('A kubeconfig for kubectl and for tulle itself.')
  .option('--server <url>', 'control API')
  .option('--token <token>', 'admin token, or that of another user')
  .option('--ca-file <file>', "the control API's root certificate")
  .option('--user <name>', 'for this user, with a token made for it; without the three above, by the kubeconfig in use')
  .option('--group <name...>', 'groups of that user')
  .option('--save', `write it to ${defaultKubeconfig()} (mode 0600), where tulle finds it`)
  .action(
    async (flags: {
      server?: string;
      token?: string;
      caFile?: string;
      user?: string;
      group?: string[];
      save?: boolean;
    }) => {
      const { user, group } = flags;
      if (group && user === undefined) throw new CliError('kubeconfig: --group is of --user');
      const access = kubeconfigAccess(flags);
      if (flags.save && user !== undefined) mustNotReplace(defaultKubeconfig(), user);
      const made = user === undefined ? undefined : await createUserToken(ControlApi.from(flags), user, group);
      const text = kubeconfig(access.server, access.ca, made?.token ?? access.token, user);
      if (!flags.save) return void process.stdout.write(text);
      saveKubeconfig(defaultKubeconfig(), text);
      process.stdout.write(`wrote ${defaultKubeconfig()}\n`);
    },
  );

program
  .command('completion')
  .description('Completion for a shell: source <(tulle completion bash), or write it where the shell looks for it.')
  .argument('<shell>', 'bash, zsh or fish')
  .action(async (shell: string) => {
    const { completionScript } = await import('./completion.ts');
    process.stdout.write(completionScript(shell));
  });

program
  .command('__complete', { hidden: true })
  .argument('[words...]')
  .action(async (words: string[]) => {
    const { candidates } = await import('./completion.ts');
    process.stdout.write((await candidates(program, words)).map((word) => `${word}\n`).join(''));
  });

program
  .command('help')
  .description('Help for a command.')
  .argument('[command...]')
  .action(async (words: string[]) => {
    const [first] = words;
    if (words.length === 1 && (first === 'run' || first === 'proxy')) return await proxyHelp(first);
    let command: Command = program;
    for (const word of words) {
      const found = command.commands.find((each) => each.name() === word);
      if (!found) throw new CliError(`unknown command "${words.join(' ')}"; "tulle help" lists the commands`);
      command = found;
    }
    command.outputHelp();
  });

const RUN_HELP = `
  --netns                    without root: COMMAND runs in a user and network namespace of its own, where every
                             connection and DNS query is captured; nothing connects to it there (docs/capture.md)
`;

/** Of a command that starts a proxy. The proxy prints its own flags: they are its own program's. */
async function proxyHelp(name: 'run' | 'proxy' | 'envoy'): Promise<void> {
  program.commands.find((command) => command.name() === name)?.outputHelp();
  if (name === 'run') process.stdout.write(RUN_HELP);
  process.stdout.write(name === 'proxy' ? '\nProxy flags:\n' : '\nProxy flags, before --:\n');
  const { becomeProxyHelp } = await import('./proxy.ts');
  await becomeProxyHelp();
}

program
  .command('version')
  .description('Print the version.')
  .action(() => void process.stdout.write(`tulle ${pkg.version}\n`));

// The reader of the output may close it early, as head(1).
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
// A control plane outlives the reader of its log.
process.stderr.on('error', () => {});
// An internal error that no command handled: one line for users, the stack trace with TULLE_DEBUG.
process.on('uncaughtException', (error) => {
  const text = process.env['TULLE_DEBUG'] ? error.stack : `${error.message} (TULLE_DEBUG=1 shows where)`;
  process.stderr.write(`tulle: unexpected: ${text}\n`);
  process.exit(1);
});

try {
  await program.parseAsync();
} catch (error) {
  note(`tulle: ${(error as Error).message}`);
  process.exitCode = error instanceof CliError ? error.exitCode : 1;
}
