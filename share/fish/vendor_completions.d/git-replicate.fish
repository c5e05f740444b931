# Completion of git replicate; made by make pages.

function __git_replicate_runs
    printf '%s\n' latest latest~1
    git for-each-ref --sort=-refname --format='%(refname:lstrip=-1)' refs/experiments 2>/dev/null
end

function __git_replicate_experiments
    git for-each-ref --format='%(refname:lstrip=2)' refs/experiments 2>/dev/null | sed 's,/[^/]*$,,' | uniq
end

function __git_replicate_needs_command
    __fish_seen_subcommand_from replicate; and not __fish_seen_subcommand_from start finish log show diff-params diff env collate data outputs rerun why snapshot apply branch annotate rm status recover hooks init
end

function __git_replicate_uses
    __fish_seen_subcommand_from replicate; and __fish_seen_subcommand_from $argv
end

complete -f -c git -n __fish_git_needs_command -a replicate -d 'record experiments'
complete -f -c git -n __git_replicate_needs_command -a start -d 'record the code, run a command, record what came out'
complete -f -c git -n __git_replicate_needs_command -a finish -d 'close a session opened with start --open'
complete -f -c git -n __git_replicate_needs_command -a log -d 'browse runs, newest first'
complete -f -c git -n __git_replicate_needs_command -a show -d 'show one run in full'
complete -f -c git -n __git_replicate_needs_command -a diff-params -d 'what differs in params, seeds and metrics'
complete -f -c git -n __git_replicate_needs_command -a diff -d 'what differs in code, environment, data and outputs'
complete -f -c git -n __git_replicate_needs_command -a env -d 'show a run\'s environment, or build it again'
complete -f -c git -n __git_replicate_needs_command -a collate -d 'make a table of many runs'
complete -f -c git -n __git_replicate_needs_command -a data -d 'status of declared data and stages; run the stages that are stale'
complete -f -c git -n __git_replicate_needs_command -a outputs -d 'list a run\'s outputs, or restore them'
complete -f -c git -n __git_replicate_needs_command -a rerun -d 'run what a run ran again, and tell whether it came out the same'
complete -f -c git -n __git_replicate_needs_command -a why -d 'what differs between two runs, likeliest cause first'
complete -f -c git -n __git_replicate_needs_command -a snapshot -d 'freeze the code as it is now, and print its commit'
complete -f -c git -n __git_replicate_needs_command -a apply -d 'bring a run\'s code into the worktree'
complete -f -c git -n __git_replicate_needs_command -a branch -d 'make a branch at a run\'s code'
complete -f -c git -n __git_replicate_needs_command -a annotate -d 'tag, comment, archive or invalidate a run'
complete -f -c git -n __git_replicate_needs_command -a rm -d 'remove runs, and bring them back'
complete -f -c git -n __git_replicate_needs_command -a status -d 'live runs of this machine'
complete -f -c git -n __git_replicate_needs_command -a recover -d 'finalise the runs whose recorder is gone'
complete -f -c git -n __git_replicate_needs_command -a hooks -d 'install, remove or show the git hooks'
complete -f -c git -n __git_replicate_needs_command -a init -d 'write replicate.toml and set git up for runs; asks before each'

complete -f -c git -n '__git_replicate_uses start' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses start' -s e -l experiment -x -a '(__git_replicate_experiments)' -d 'name of the series (default: the script\'s name)'
complete -f -c git -n '__git_replicate_uses start' -s m -l message -x -d 'why this run, in your words'
complete -f -c git -n '__git_replicate_uses start' -s p -l param -x -d 'set a hyperparameter; repeatable'
complete -f -c git -n '__git_replicate_uses start' -l seed -x -d 'a number, auto (the default: drawn and recorded) or none'
complete -c git -n '__git_replicate_uses start' -l data -r -F -d 'a file or folder the run reads; hashed first'
complete -f -c git -n '__git_replicate_uses start' -l output -x -d 'files to keep with the run'
complete -c git -n '__git_replicate_uses start' -l metrics -r -F -d 'a JSON, TOML, YAML or CSV file of metrics'
complete -f -c git -n '__git_replicate_uses start' -l tag -x -d 'tag the run; repeatable'
complete -f -c git -n '__git_replicate_uses start' -s i -l interactive -d 'ask for experiment, message, params and seed'
complete -f -c git -n '__git_replicate_uses start' -s q -l quiet -d 'say nothing but errors'
complete -f -c git -n '__git_replicate_uses start' -l strict -d 'do not run if the run cannot be recorded in full'
complete -f -c git -n '__git_replicate_uses start' -l prepare -d 'build the project\'s environment first (cached), and run in it'
complete -f -c git -n '__git_replicate_uses start' -l open -d 'record a session that lasts until `git replicate finish`'
complete -f -c git -n '__git_replicate_uses start' -l isolated -d 'run in a checkout of the code as it is now'
complete -f -c git -n '__git_replicate_uses start' -l at -x -d 'run in a checkout of a commit'
complete -f -c git -n '__git_replicate_uses start' -l no-probe -d 'do not observe what happens inside the command\'s Python processes'
complete -f -c git -n '__git_replicate_uses start' -l no-placeholders -d 'leave {name} in the command as it is'
complete -f -c git -n '__git_replicate_uses start' -l new-run -d 'a restarted job begins a new run instead of continuing its own'

complete -f -c git -n '__git_replicate_uses finish' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses finish' -l failed -x -d 'record that it failed, and why'
complete -f -c git -n '__git_replicate_uses finish' -s q -l quiet -d 'say nothing but errors'
complete -f -c git -n '__git_replicate_uses finish' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses log' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses log' -l where -x -d 'only runs for which an SQL expression holds'
complete -f -c git -n '__git_replicate_uses log' -l sort -x -d 'order by a name; -NAME: largest first'
complete -f -c git -n '__git_replicate_uses log' -s n -l limit -x -d 'at most so many'
complete -f -c git -n '__git_replicate_uses log' -s a -l all -d 'archived runs as well'
complete -f -c git -n '__git_replicate_uses log' -l format -x -a 'text csv json jsonl markdown latex html' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses log' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses log' -a '(__git_replicate_experiments)'

complete -f -c git -n '__git_replicate_uses show' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses show' -l curves -d 'the metrics\' whole history'
complete -f -c git -n '__git_replicate_uses show' -l log -d 'what the command printed'
complete -f -c git -n '__git_replicate_uses show' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses show' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses show' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses diff-params' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses diff-params' -s a -l all -d 'what does not differ as well'
complete -f -c git -n '__git_replicate_uses diff-params' -l format -x -a 'text csv json jsonl markdown latex html' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses diff-params' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses diff-params' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses diff' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses diff' -l code -d 'the code, as git diff shows it'
complete -f -c git -n '__git_replicate_uses diff' -l env -d 'the environment'
complete -f -c git -n '__git_replicate_uses diff' -l data -d 'the data'
complete -f -c git -n '__git_replicate_uses diff' -l outputs -d 'the outputs'
complete -f -c git -n '__git_replicate_uses diff' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses diff' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses diff' -a '(__git_replicate_runs)'
complete -f -c git -n '__git_replicate_uses diff' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses env' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses env' -l create -x -d 'build it in a folder that is not there yet'
complete -f -c git -n '__git_replicate_uses env' -l allow-missing -d 'build what can be had, and list the rest'
complete -f -c git -n '__git_replicate_uses env' -l yes -d 'build somebody else\'s without asking'
complete -f -c git -n '__git_replicate_uses env' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses env' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses env' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses collate' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses collate' -l where -x -d 'only runs for which an SQL expression holds'
complete -f -c git -n '__git_replicate_uses collate' -l sort -x -d 'order by a name; -NAME: largest first'
complete -f -c git -n '__git_replicate_uses collate' -s n -l limit -x -d 'at most so many'
complete -f -c git -n '__git_replicate_uses collate' -l columns -x -d 'these columns, separated by commas'
complete -f -c git -n '__git_replicate_uses collate' -l group-by -x -d 'one row a group; params: every param but the seed'
complete -f -c git -n '__git_replicate_uses collate' -l aggregate -x -d 'of mean, std, n, ci95, min, max, median (default: mean,std,n)'
complete -f -c git -n '__git_replicate_uses collate' -l rows -x -d 'pivot: what the rows are'
complete -f -c git -n '__git_replicate_uses collate' -l cols -x -d 'pivot: what the columns are'
complete -f -c git -n '__git_replicate_uses collate' -l cell -x -d 'pivot: what the cells hold, mean ± std'
complete -f -c git -n '__git_replicate_uses collate' -s a -l all -d 'failed, running, invalid, archived and rerun runs as well'
complete -f -c git -n '__git_replicate_uses collate' -l format -x -a 'text csv json jsonl markdown latex html' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses collate' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses collate' -a '(__git_replicate_experiments)'

complete -f -c git -n '__git_replicate_uses data' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses data' -l force -d 'with run: run stages that are fresh as well'
complete -f -c git -n '__git_replicate_uses data' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses data' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses data' -a 'status run hash'

complete -f -c git -n '__git_replicate_uses outputs' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses outputs' -s o -l output -x -d 'restore into this folder'
complete -f -c git -n '__git_replicate_uses outputs' -l force -d 'replace files that differ'
complete -f -c git -n '__git_replicate_uses outputs' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -f -c git -n '__git_replicate_uses outputs' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses rerun' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses rerun' -l set -x -d 'change one param; repeatable'
complete -f -c git -n '__git_replicate_uses rerun' -l seeds -x -d 'run N times with fresh seeds and show the spread'
complete -f -c git -n '__git_replicate_uses rerun' -l onto -x -d 'on the code of another commit'
complete -f -c git -n '__git_replicate_uses rerun' -l env -x -a 'current recorded strict' -d 'current (the default): what is there, differences listed; recorded: build it; strict: refuse others'
complete -f -c git -n '__git_replicate_uses rerun' -l rtol -x -d 'relative difference of a metric that still counts as the same'
complete -f -c git -n '__git_replicate_uses rerun' -l atol -x -d 'absolute difference that still counts as the same'
complete -f -c git -n '__git_replicate_uses rerun' -l allow-different-data -d 'run even if data is not what it was'
complete -f -c git -n '__git_replicate_uses rerun' -l online -d 'let other trackers send their runs'
complete -f -c git -n '__git_replicate_uses rerun' -l yes -d 'do not ask before running what somebody else recorded'
complete -f -c git -n '__git_replicate_uses rerun' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses rerun' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses rerun' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses why' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses why' -l metric -x -d 'the metric to speak of (default: all)'
complete -f -c git -n '__git_replicate_uses why' -l format -x -a 'text json' -d 'how to print (default: text)'
complete -c git -n '__git_replicate_uses why' -s o -l output -r -F -d 'write to a file instead'
complete -f -c git -n '__git_replicate_uses why' -a '(__git_replicate_runs)'
complete -f -c git -n '__git_replicate_uses why' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses snapshot' -s h -l help -d 'show this help message and exit'

complete -f -c git -n '__git_replicate_uses apply' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses apply' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses branch' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses branch' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses annotate' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses annotate' -l tag -x -d 'add a tag; repeatable'
complete -f -c git -n '__git_replicate_uses annotate' -l untag -x -d 'take a tag away; repeatable'
complete -f -c git -n '__git_replicate_uses annotate' -l comment -x -d 'a comment; an empty one takes it away'
complete -f -c git -n '__git_replicate_uses annotate' -l archive -d 'hide from log'
complete -f -c git -n '__git_replicate_uses annotate' -l unarchive -d 'show in log again'
complete -f -c git -n '__git_replicate_uses annotate' -l invalid -x -d 'leave out of tables, and say why'
complete -f -c git -n '__git_replicate_uses annotate' -l valid -d 'take back --invalid'
complete -f -c git -n '__git_replicate_uses annotate' -l superseded-by -x -a '(__git_replicate_runs)' -d 'another run takes this one\'s place'
complete -f -c git -n '__git_replicate_uses annotate' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses rm' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses rm' -l undo -d 'bring removed runs back (within 30 days)'
complete -f -c git -n '__git_replicate_uses rm' -a '(__git_replicate_runs)'

complete -f -c git -n '__git_replicate_uses status' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses status' -l format -x -a 'text json' -d 'how to print (default: text)'

complete -f -c git -n '__git_replicate_uses recover' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses recover' -s n -l dry-run -d 'only say what would be recovered'

complete -f -c git -n '__git_replicate_uses hooks' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses hooks' -a 'install remove status'

complete -f -c git -n '__git_replicate_uses init' -s h -l help -d 'show this help message and exit'
complete -f -c git -n '__git_replicate_uses init' -s y -l yes -d 'do not ask'
