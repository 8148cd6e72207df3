/** Commands about machines: `tulle invite`, `join`, `leave`, `check`, and `tulle control install`. */
import type { Command } from 'commander';
import { client } from '../command-options.ts';
import type { InviteFlags } from './invite.ts';

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
}
