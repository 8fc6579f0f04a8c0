#!/usr/bin/env bash
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Scenarios of rollouts. Each host writes what it does to $LOG, in the order in which it happens; $OUT is what the operator sees.
# Runs under ansible-test, or alone: ANSIBLE_COLLECTIONS_PATH=... bash runme.sh [arguments of ansible-playbook]

set -eux
cd "$(dirname "${BASH_SOURCE[0]}")"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export LOG="$work/log" OUT="$work/out"
export ANSIBLE_NOCOLOR=1 ANSIBLE_FORCE_COLOR=0 ANSIBLE_RETRY_FILES_ENABLED=1 ANSIBLE_RETRY_FILES_SAVE_PATH="$work" ANSIBLE_HOST_KEY_CHECKING=0 ANSIBLE_SSH_RETRIES=0

# scenario EXIT_CODE ARGUMENTS...: run ansible-playbook, and see that it ends with that code
scenario() {
    local expected=$1 code=0
    shift
    rm -f "$LOG" "$LOG".* "$work"/*.retry
    touch "$LOG"
    ansible-playbook "${args[@]}" "$@" > "$OUT" 2>&1 || code=$?
    cat "$OUT" "$LOG"
    [ "$code" -eq "$expected" ]
    if grep -q Traceback "$OUT"; then exit 1; fi
}

# says TEXT...: the operator sees each text; line breaks do not matter, Ansible wraps warnings and errors
says() {
    local text
    for text; do tr -s ' \n' '  ' < "$OUT" | grep -qF -- "$text"; done
}

never_says() {
    local text
    for text; do if tr -s ' \n' '  ' < "$OUT" | grep -qF -- "$text"; then exit 1; fi; done
}

# logged LINE...: these lines, and no other, in this order. Hosts of one domain work in parallel: a line "x|y" stands for both, in any order.
logged() {
    local line
    for line; do tr '|' '\n' <<< "$line" | sort; done > "$work/expected"
    : > "$work/actual"
    local from=1 count
    for line; do
        count=$(tr '|' '\n' <<< "$line" | wc -l)
        tail -n "+$from" "$LOG" | head -n "$count" | sort >> "$work/actual"
        from=$((from + count))
    done
    tail -n "+$from" "$LOG" >> "$work/actual"
    diff -u "$work/expected" "$work/actual"
}

args=(-i inventory.yml "$@")

: "Domains in natural order; hosts in parallel; run_once once for each; handlers before the next; the next play sees all hosts"
scenario 0 well.yml
logged \
    "begin a1|begin a2" "once a1 of a1+a2" "end a1 0|end a2 0" "handle a1|handle a2" \
    "begin b1|begin b2" "once b1 of b1+b2" "end b1 0|end b2 0" "handle b1|handle b2" \
    "begin c1" "once c1 of c1" "end c1 0" "handle c1" \
    "after a1+a2+b1+b2+c1"
says "update domain 2 (1 of 3): a1, a2" "update domain 2 (1 of 3): done" "update domain 10 (2 of 3): b1, b2" "update domain r1 (3 of 3): done"
says "These update domains are numbers in the inventory, not texts: 10 (b2)."
never_says "The rollout stops" "more than forks"

: "What YAML reads as a number is reported, as the number and with its hosts: 010 and 8 are one domain"
scenario 0 well.yml -i numbers.yml --limit octal1,eight1
says "not texts: 8 (octal1, eight1)." 'put the name in quotes: update_domain: "010"' "update domain 8 (1 of 1): octal1, eight1"

: "The order variable, and --limit: names without hosts are fine; too few forks are reported"
scenario 0 serial.yml --limit c1,b1,b2 --forks 1 -e '{"update_domain_order": ["r1", 10, "2", "later"]}'
logged "begin c1" "begin b1|begin b2" "after b1|after b2|after c1"
says "update domain r1 (1 of 2): c1" "Update domain 10 has 2 hosts, more than forks (1)" "--forks 2"

: "An order that leaves out domains is refused, and names them; so does a value that is no list"
scenario 1 well.yml -e '{"update_domain_order": ["10"]}'
logged
says "No host was touched: update_domain_order (10) does not name update domain 2 (a1, a2), r1 (c1)"
never_says "Gathering Facts"
scenario 1 well.yml -e update_domain_order=2,10,r1
logged
says "update_domain_order must be a list of update domains, not of type str"

: "Hosts without a usable update_domain are named, and no host is touched"
scenario 1 well.yml -i invalid.yml --limit good1,unset1,unset2,empty1,list1,dict1,bool1,undef1
logged
says "update_domain is not set or empty for unset1, unset2, empty1;" "list1 (list), dict1 (dict), bool1 (bool), undef1 (cannot be templated" "no_such_variable"
never_says "good1" "Gathering Facts" "update domain 1"

: "A failed host stops the rollout, when its domain is through; the retry file holds all that is left"
scenario 2 failed.yml
logged "begin a1|begin a2" "end a1" "always a1|always a2" "handle a1"
says "The rollout stops at update domain 2: failed: a2." "Update domains not started: 10 (b1, b2), r1 (c1)." "vm_preserving.maintenance.recover"
never_says "ok: [b1]" "ok: [c1]" "update domain 10 (2 of 3)" "update domain 2 (1 of 3): done" "Next play"
[ "$(sort "$work/failed.retry" | xargs)" = "a2 b1 b2 c1" ]

: "A failed host in the last domain fails the rollout too"
scenario 2 failed.yml --limit a2
says "No update domain was left to start."
never_says "Next play"

: "Rescued, ignored and ended hosts are fine; a host that fails again in its rescue is not"
scenario 2 rescued.yml
logged "rescue a1" "end a1" "rescue b2" "end b1"
says "update domain 2 (1 of 3): done" "The rollout stops at update domain 10: failed: b2." "not started: r1 (c1)."

: "Batches, each in the order of its domains"
scenario 0 serial.yml
logged "begin a1" "begin b1" "begin c1" "begin a2" "begin b2" "after b1|after c1|after a1|after b2|after a2|after x1"

: "An unreachable host stops the rollout, the later batches and plays too"
scenario 2 serial.yml -e unreachable=b1
logged "begin a1" "begin b1"
says "The rollout stops at update domain 10: unreachable: b1." "not started: r1 (c1)." \
    "The rollout stops before update domain 2, because of an earlier play or batch: failed or not started: c1; unreachable: b1." "not started: 2 (a2), 10 (b2)."
never_says "Next play"

: "A host that failed in an earlier play stops the rollout before its domain; a host that is not in the rollout does not"
scenario 2 earlier.yml
logged "work a1|work a2"
says "update domain 2 (1 of 3): done" "The rollout stops before update domain 10, because of an earlier play or batch: failed or not started: b1." "not started: 10 (b1, b2), r1 (c1)."

: "end_play is no way to skip the rest of a rollout, end_batch ends a domain"
scenario 2 ended.yml -e how=end_play
logged "begin a1|begin a2"
says "The rollout stops at update domain 2: the play was ended early (meta: end_play)."
never_says "Next play"
scenario 0 ended.yml -e how=end_play --limit a1,a2
logged "begin a1|begin a2" "after"
scenario 0 ended.yml -e how=end_batch
logged "begin a1|begin a2" "begin b1|begin b2" "begin c1" "after"

: "any_errors_fatal stops the rollout; so does a file that cannot be included, and 40% are less than one host of two, not of all five"
scenario 2 ended.yml -e how=any_errors_fatal
logged "begin a1|begin a2"
says "The rollout stops at update domain 2: failed: a1, a2." "not started: 10 (b1, b2), r1 (c1)."
scenario 2 ended.yml -e how=include -e max_fail=40
logged "begin a1|begin a2"
says "The rollout stops at update domain 2: failed: a1, a2."

: "A host that gets lost is not finished"
args=(-i losing_inventory.sh "$@")
scenario 2 ended.yml -e how=refresh_inventory
logged "begin a1|begin a2" "end a1"
says "The rollout stops at update domain 1: not finished: a2." "not started: 2 (b1)."
