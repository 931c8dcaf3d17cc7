def decorator(func):
    def wrapper(*args, **kwargs):
        print("Do something before") # (1)
        #> Do something before
        result = func(*args, **kwargs)
        print("Do something after") # (2)
        #> Do something after
        return result
    return wrapper

@decorator
def say_hello():
    #> Hello!
    print("Hello!")
    #> Hello!
say_hello()
#> "Do something before"
#> "Hello!"
#> "Do something after"
