# Sees to it that RabbitMQ is installed, for the tests that start one of their own. For ./test to source,
# after scripts/setup.sh.
#
# Debian's package starts its service, on the port that everybody knows. Here it must not: for the time of
# the installation a policy says so (exit code 101), unless there is one already.

if [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    rabbitmq_policy=/usr/sbin/policy-rc.d
    rabbitmq_as_root=()
    if [ "$(id -u)" != 0 ]; then
        rabbitmq_as_root=(sudo)
    fi
    if [ -e "$rabbitmq_policy" ]; then
        rabbitmq_policy=
    else
        printf '#!/bin/sh\nexit 101\n' | "${rabbitmq_as_root[@]}" tee "$rabbitmq_policy" >/dev/null
        "${rabbitmq_as_root[@]}" chmod +x "$rabbitmq_policy"
        trap '"${rabbitmq_as_root[@]}" rm -f "$rabbitmq_policy"' EXIT
    fi
    system_package rabbitmq-server
    if [ -n "$rabbitmq_policy" ]; then
        "${rabbitmq_as_root[@]}" rm -f "$rabbitmq_policy"
        trap - EXIT
    fi
    if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
        # Nor with the next start of the machine.
        "${rabbitmq_as_root[@]}" systemctl disable --quiet rabbitmq-server || true
    fi
fi
