/** The maker of transparent sockets for interpreters that a host has: their arguments are those of `wordsOf`. */

/** IP_TRANSPARENT is 19, IPV6_TRANSPARENT 75, PR_SET_NO_NEW_PRIVS 38; _LINUX_CAPABILITY_VERSION_3 is 0x20080522. */
export const PYTHON = `
import ctypes, fcntl, os, socket, struct, sys
uid, gid, backlog, first, variable = sys.argv[1:6]
end = sys.argv.index('--')
what = 'sockets'
try:
    names = []
    for word in sys.argv[6:end]:
        name, family, port, address = word.split(',')
        what = '%s (%s port %s)' % (name, address, port)
        s = socket.socket(socket.AF_INET6 if family == '6' else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == '6':
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.IPPROTO_IPV6, 75, 1)
        else:
            s.setsockopt(socket.IPPROTO_IP, 19, 1)
        s.bind((address, int(port)))
        s.listen(int(backlog))
        names.append('%s=%d' % (name, fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, int(first))))
    what = 'user %s' % uid
    if uid != '-':
        os.setgroups([])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
    what = 'capabilities'
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(struct.pack('Ii', 0x20080522, 0), bytes(24)) or libc.prctl(38, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    what = sys.argv[end + 1]
    os.environ[variable] = ','.join(names)
    os.execv(sys.argv[end + 1], sys.argv[end + 1:])
except OSError as error:
    sys.exit('tulle: capture exec: %s: %s' % (what, error.strerror))
`;

/** Its numbers of system calls are those of x86-64 and of arm64. */
export const PERL = `
use strict; use warnings; use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 IPPROTO_IP IPPROTO_IPV6 IPV6_V6ONLY); use Fcntl; use POSIX ();
my ($uid, $gid, $backlog, $first, $variable) = splice @ARGV, 0, 5;
my $machine = (POSIX::uname())[4];
my %number = $machine eq 'x86_64' ? (setgroups => 116, setresgid => 119, setresuid => 117, capset => 126, prctl => 157)
  : $machine eq 'aarch64' ? (setgroups => 159, setresgid => 149, setresuid => 147, capset => 91, prctl => 167)
  : die "tulle: capture exec: perl knows no system calls of $machine; install python3\\n";
my ($what, @names, @kept) = ('sockets');
sub check { return if $_[0]; print STDERR "tulle: capture exec: $what: $!\\n"; exit 1 }
sub call { my ($name, @words) = @_; check(syscall($number{$name}, @words) == 0) }
while (@ARGV && (my $word = shift @ARGV) ne '--') {
  my ($name, $family, $port, $address) = split /,/, $word;
  $what = "$name ($address port $port)";
  my $six = $family eq '6';
  my $domain = $six ? AF_INET6 : AF_INET;
  check(socket(my $socket, $domain, SOCK_STREAM, 0));
  check(setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, pack('i', 1)));
  check(setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, pack('i', 1))) if $six;
  check(setsockopt($socket, $six ? IPPROTO_IPV6 : IPPROTO_IP, $six ? 75 : 19, pack('i', 1)));
  my $packed = inet_pton($domain, $address);
  check(bind($socket, $six ? pack_sockaddr_in6($port, $packed) : pack_sockaddr_in($port, $packed)));
  check(listen($socket, $backlog));
  my $descriptor = fcntl($socket, F_DUPFD, $first + 0);
  check($descriptor);
  push @names, $name . '=' . ($descriptor + 0);
}
if ($uid ne '-') {
  $what = "user $uid";
  call('setgroups', 0, 0);
  call('setresgid', ($gid + 0) x 3);
  call('setresuid', ($uid + 0) x 3);
}
$what = 'capabilities';
my ($header, $none) = (pack('Ii', 0x20080522, 0), "\\0" x 24);
call('capset', $header, $none);
call('prctl', 38, 1, 0, 0, 0);
$what = $ARGV[0];
$ENV{$variable} = join ',', @names;
{ no warnings; exec { $ARGV[0] } @ARGV }
check(0);
`;
