/** Commands about machines: `tulle invite`, `join`, `leave`, `check`, and `tulle control install`. */
import { type Command, Option } from 'commander';
import { client } from '../command-options.ts';
import type { InstallFlags } from './install.ts';
import type { InviteFlags } from './invite.ts';
import type { JoinFlags } from './join.ts';

export function registerMachineCommands(program: Command): void {
  client(
    program
      .command('invite')
      .description(
        'Invite machines: prints the one line with which a machine joins, nothing else, on standard output.',
      ),
  )
    .option('--group <name>', 'the WorkloadGroup that the machine registers in')
    .option('--service-account <name>', "of a machine without a group (default: the group's)")
    .option('--uses <number>', 'how many machines may join with it', '1')
    .option('--expires <duration>', 'until when, as 1h or 30m', '1h')
    .option(
      '--ephemeral',
      'such a machine is removed with its certificate: its identity is not renewed after an outage',
    )
    .option('--labels <pair...>', 'labels that the workload has besides those of its group, as NAME=VALUE')
    .option('--installed', 'print the short line, for a machine that has tulle')
    .option('--no-sudo', 'the machine joins as a user: without capture of its traffic, and without root')
    .action(async (flags: InviteFlags) => {
      const { invite } = await import('./invite.ts');
      await invite(flags);
    });

  program
    .command('join')
    .description(
      'Make this machine a workload of the mesh: checks it, obtains a certificate, starts the proxy as a service. As root for the whole machine.',
    )
    .usage('[flags] [INVITATION | - | @FILE] [-- COMMAND | -- NAME.service]')
    .argument('[invitation]', 'what "tulle invite" made: - reads it from standard input, @FILE from a file')
    .argument('[application...]', 'behind --: a command to run with the proxy, or a systemd unit that waits for it')
    .option(
      '--as <kind>',
      'join without an invitation, by what a JoinPolicy accepts: oidc, certificate, aws, gcp or azure',
    )
    .option('--control-plane <url...>', 'with --as: where it is, https://HOST:PORT')
    .option('--root-hash <hex>', 'with --as: SHA-256 of its root certificate (DER)')
    .option('-n, --namespace <name>', 'with --as: the namespace, where the policy leaves a choice')
    .option('--group <name>', 'with --as: the WorkloadGroup, where policies leave a choice')
    .option('--service-account <name>', 'with --as: the service account, where policies leave a choice')
    .option('--audience <name>', 'of the token that is asked for (oidc in GitHub Actions, gcp)')
    .option(
      '--oidc-token-file <path>',
      'a file with an OIDC token (default: TULLE_OIDC_TOKEN, or that of GitHub Actions)',
    )
    .option('--certificate <path>', 'a certificate with its chain (PEM), for --as certificate')
    .option('--key <path>', 'its private key (PEM)')
    .option('--no-service', 'keep the proxy in the foreground, in place of a systemd unit')
    .option('--no-capture', 'redirect no traffic: applications use http_proxy')
    .option('--no-dns', 'leave the names of this machine as they are')
    .option(
      '--address <ip>',
      'under which peers reach it (default: its address on the way to the control plane, followed when it changes)',
    )
    .option('--name <name>', "of the workload (default: the machine's)")
    .addOption(new Option('--host-on').hideHelp())
    .addOption(new Option('--host-off').hideHelp())
    .action(async (invitation: string | undefined, application: string[], flags: JoinFlags) => {
      const { join, splitApplication } = await import('./join.ts');
      await join(...splitApplication(invitation, application, process.argv), flags);
    });
  program
    .command('leave')
    .description('Take this machine out of the mesh: rules, units, names, registration, user and data.')
    .action(async () => {
      const { leave } = await import('./leave.ts');
      await leave();
    });
  program
    .command('hot-restart')
    .description(
      'Have another process take over from the proxy of this machine, as after an upgrade: no request fails. systemctl reload tulle-proxy does the same.',
    )
    .option('--admin-port <port>', 'of the proxy', '15000')
    .action(async (flags: { adminPort: string }) => {
      const { hotRestart } = await import('./hot-restart.ts');
      await hotRestart(flags);
    });
  program
    .command('check')
    .description(
      'What is wrong with this machine as a workload of the mesh, each finding with its remedy. Exit code 1 when a check fails.',
    )
    .option('-o, --output <format>', 'table, short (only what is not right) or json', 'table')
    .option('--ready', 'only whether the proxy has its configuration, as for the health check of a container')
    .option('--wait <duration>', 'with --ready: how long to wait for it, as 60s', '0s')
    .action(async (flags: { output: string; ready?: boolean; wait: string }) => {
      const { check, checkReady } = await import('./check.ts');
      const { seconds } = await import('../control.ts');
      if (flags.ready) await checkReady(seconds('--wait', flags.wait) * 1000);
      else await check(flags);
    });
  const control = program.commands.find((command) => command.name() === 'control');
  control
    ?.command('install')
    .description(
      'Run the control plane as a systemd service: unit, user, folder, and a certificate with all names and addresses of this machine.',
    )
    .option('--port <port>', 'port to listen on', '15012')
    .option('--server-name <name...>', 'further names or addresses by which proxies reach it')
    .option('--advertise <host[:port]>', 'what its URL names, as behind NAT or a load balancer')
    .option('--trust-domain <name>', 'SPIFFE trust domain', 'cluster.local')
    .action(async (flags: InstallFlags) => {
      const { installControlPlane } = await import('./install.ts');
      await installControlPlane(flags);
    });
  control
    ?.command('uninstall')
    .description('Remove the service; keys and resources stay.')
    .option('--delete-data', 'remove keys and resources too')
    .action(async (flags: { deleteData?: boolean }) => {
      const { uninstallControlPlane } = await import('./install.ts');
      await uninstallControlPlane(flags);
    });
}
